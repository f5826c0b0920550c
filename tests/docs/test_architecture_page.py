"""docs/architecture.md names functions and files that exist."""

import ast
import re

from tests.docs.examples import DOCS
from tests.nursery import ROOT

PAGE = (DOCS / "architecture.md").read_text()
STEP = re.compile(r"^\| [^|`]+ \| `(\w+)` \| `([\w/.]+)` \|$", re.MULTILINE)
FILE = re.compile(r"`([\w/]+(?:\.py|/))`")


def test_each_step_of_a_change_is_a_function_of_its_file():
    steps = STEP.findall(PAGE)

    assert 10 <= len(steps) <= 15
    for function, file in steps:
        names = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text()))
            if isinstance(node, ast.FunctionDef)
        }
        assert function in names, f"{file} has no function {function}"


def test_each_file_that_it_names_exists():
    named = FILE.findall(PAGE)

    assert len(named) > 20
    assert [file for file in named if not (ROOT / file).exists()] == []
