"""The pages whose code blocks are run. To take another one up, name it here."""

import pytest

from handlers import registry
from tests.docs.examples import DOCS, LANGUAGES, run

#: With Python blocks that are no tests.
PAGES = ("handlers.md",)
#: With Python blocks that are, each run by a module of its own.
PAGES_OF_TESTS = ("testing-handlers.md",)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """What the pages register is gone after them."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, crm):
    run(DOCS / page)


@pytest.mark.parametrize("page", PAGES_OF_TESTS)
def test_so_does_what_is_no_python_beside_tests(page, crm):
    run(DOCS / page, languages=LANGUAGES.keys() - {"python"})
