"""docs/architecture.md names functions, files and constraints that exist."""

import ast
import re

from django.apps import apps

from tests.docs.examples import DOCS
from tests.nursery import ROOT

PAGE = (DOCS / "architecture.md").read_text()
STEP = re.compile(r"^\| [^|`]+ \| `([\w.]+)` \| `([\w/.]+)` \|$", re.MULTILINE)
FILE = re.compile(r"`([\w/]+(?:\.py|/))`")
GUARANTEES = PAGE.partition("\n## Guarantees\n")[2].partition("\nExceptions:\n")[0]


def functions(file: str) -> set[str]:
    """Return the names of a module's functions, and of its methods with their class."""
    tree = ast.parse((ROOT / file).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    methods = {(node.name, part.name) for node in classes for part in functions_in(node)}
    return {part.name for part in functions_in(tree)} | {".".join(both) for both in methods}


def functions_in(
    node: ast.Module | ast.ClassDef,
) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [part for part in node.body if isinstance(part, kinds)]


def test_each_step_of_a_change_is_a_function_of_its_file():
    steps = STEP.findall(PAGE)

    assert 20 <= len(steps) <= 40
    for function, file in steps:
        assert function in functions(file), f"{file} has no function {function}"


def test_each_function_that_it_names_beside_a_file_exists():
    named = re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", PAGE)
    named += [(name, file) for file, name in re.findall(r"`([\w/]+\.py)`, function `(\w+)`", PAGE)]

    assert len(named) > 8
    for name, file in named:
        assert re.search(rf"^ *(def|class) {name}\b", (ROOT / file).read_text(), re.MULTILINE), name


def test_each_file_that_it_names_exists():
    named = FILE.findall(PAGE)

    assert len(named) > 40
    assert [file for file in named if not (ROOT / file).exists()] == []


def test_each_guarantee_names_a_test():
    rows = re.findall(r"^\| (?!guarantee|---)(.+) \|$", GUARANTEES, re.MULTILINE)

    assert len(rows) > 5
    for row in rows:
        assert "/test_" in row.rpartition(" | ")[2], row


def test_each_constraint_that_it_names_exists():
    constraints = {
        constraint.name for model in apps.get_models() for constraint in model._meta.constraints
    }
    named = set(re.findall(r"unique constraint `(\w+)`", PAGE))

    assert len(named) == 2
    assert named <= constraints
