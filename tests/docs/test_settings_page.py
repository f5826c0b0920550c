"""docs/settings.md lists exactly the environment variables that the product reads, with their
defaults."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cdcproject.conf.environment import SECRETS
from cdcproject.conf.further_databases import VARIABLES
from tests.docs.examples import DOCS
from tests.docs.tables import named, rows_of
from tests.nursery import ROOT

PAGE = DOCS / "settings.md"
SOURCES = [*(ROOT / "cdcproject").rglob("*.py"), ROOT / "gunicorn.conf.py"]
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
#: Variables that Django and Celery themselves read.
NOT_OURS = {"DJANGO_SETTINGS_MODULE", "CELERY_SKIP_CHECKS"}


def read_in(source: Path) -> Iterator[tuple[str, object]]:
    """Yield each variable that the file reads, with its default if that is a constant, or None."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and _is_of_the_environment(node):
            constants = [one.value for one in node.args if isinstance(one, ast.Constant)]
            match [value for value in constants if isinstance(value, str)]:
                case [name, *_] if VARIABLE.fullmatch(name) and name not in NOT_OURS:
                    [*_, last] = constants
                    yield name, last if len(constants) > 1 else None


def _is_of_the_environment(call: ast.Call) -> bool:
    """Return whether it is a call such as `env.str("NAME", …)`, `names(env, "NAME")` or
    `os.environ.get("NAME")`."""
    text = ast.unparse(call)
    return bool(re.match(r"env\.\w+\(|os\.environ\.\w+\(|\w+\(env, ", text))


def known() -> dict[str, object]:
    found: dict[str, object] = dict.fromkeys((*SECRETS, *VARIABLES))
    for source in SOURCES:
        for name, default in read_in(source):
            found[name] = default if default not in (None, "") else found.get(name)
    return found


def told() -> dict[str, str]:
    """Return the cell of each variable's default."""
    return {name: row[1] for row in rows_of(PAGE) for name in named(row[0])}


def test_the_variables_are_found_in_the_code():
    found = known()

    assert {"SECRET_KEY", "VAR_DIR", "WEB_CONCURRENCY", "CDC_SECRET_FOLDERS"} <= found.keys()
    assert (found["CDC_BATCH_MAX"], found["CDC_API_USER_RATE"]) == (1000, "1200/min")


def test_each_variable_has_a_row_and_each_row_a_variable():
    assert told().keys() == known().keys()


def test_defaults_stand_as_they_are():
    cells = told()
    for name, default in known().items():
        if default is not None:
            text = str(default).lower() if isinstance(default, bool) else str(default)
            assert f"`{text}`" in cells[name], name
