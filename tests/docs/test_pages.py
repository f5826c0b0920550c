"""The pages whose code blocks are run. To take another one up, name it here."""

import subprocess
import sys

import pytest

from tests.docs.examples import DOCS, LANGUAGES, blocks, defined, run

PAGES = ("handlers.md", "testing-handlers.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page):
    assert defined(DOCS / page)


@pytest.mark.parametrize("page", PAGES)
def test_so_does_the_rest_of_its_code(page, db):
    run(DOCS / page, languages=LANGUAGES.keys() - {"python"})


def test_every_name_in_their_python_is_defined(tmp_path):
    """In functions that nothing here calls, too."""
    for page in PAGES:
        (tmp_path / f"{page}.py").write_text("\n".join(blocks(DOCS / page, "python")))

    command = ["ruff", "check", "--isolated", "--select", "F821,F401", str(tmp_path)]
    checked = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout
