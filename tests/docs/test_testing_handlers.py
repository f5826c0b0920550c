"""The tests of docs/testing-handlers.md pass as they are written."""

import pytest

from tests.docs.examples import DOCS, defined

PAGE = DOCS / "testing-handlers.md"

globals().update({name: one for name, one in defined(PAGE).items() if not name.startswith("__")})


@pytest.fixture(autouse=True)
def tables(crm):
    """Make the tables of the page's models."""
