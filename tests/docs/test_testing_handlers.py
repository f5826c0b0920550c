"""The tests of docs/testing-handlers.md, as they stand there."""

import pytest

from tests.docs.examples import DOCS, defined

pytestmark = pytest.mark.any_database

PAGE = DOCS / "testing-handlers.md"

globals().update({name: one for name, one in defined(PAGE).items() if not name.startswith("__")})


@pytest.fixture(autouse=True)
def tables(crm):
    """The page's models have tables."""
