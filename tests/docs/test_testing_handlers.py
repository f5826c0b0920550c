"""The tests of docs/testing-handlers.md, as they stand there."""

import pytest

from tests.docs.examples import DOCS, blocks, defined

PAGE = DOCS / "testing-handlers.md"

globals().update({name: one for name, one in defined(PAGE).items() if not name.startswith("__")})


@pytest.fixture(autouse=True)
def project(crm, tmp_path, monkeypatch):
    """The folder that the page's tests are run in, with its file."""
    [configuration] = blocks(PAGE, "yaml")
    (tmp_path / "cdc.yaml").write_text(configuration)
    monkeypatch.chdir(tmp_path)
