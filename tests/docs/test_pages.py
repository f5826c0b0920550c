"""The code blocks of every page and of the README run."""

import subprocess
import sys

import pytest

from tests.docs.examples import DOCS, LANGUAGES, blocks, defined, run
from tests.nursery import ROOT

PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]
OF_PYTHON = [page for page in PAGES if blocks(page, "python")]


def name_of(page):
    return str(page.relative_to(ROOT))


def test_the_pages_are_found():
    assert {"README.md", "docs/handlers.md"} <= {name_of(page) for page in OF_PYTHON}


@pytest.mark.parametrize("page", OF_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs(page):
    assert defined(page)


@pytest.mark.process
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_other_code_of_a_page_runs(page, db):
    run(page, languages=LANGUAGES.keys() - {"python"})


@pytest.mark.process
def test_every_name_in_their_python_is_defined(tmp_path):
    """This includes functions that no block calls."""
    for page in OF_PYTHON:
        (tmp_path / f"{page.name}.py").write_text("\n".join(blocks(page, "python")))

    command = ["ruff", "check", "--isolated", "--select", "F821,F401", str(tmp_path)]
    checked = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout
