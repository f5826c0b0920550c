"""Parts of pages that are generated from the code are up to date."""

import re

import pytest
from django.core.management import get_commands

from api.urls import router
from docs.generator.blocks import UnknownSource, table, written
from docs.generator.commands import options
from docs.generator.sources import SOURCES
from tests.docs.examples import DOCS

ECHO = {"echo": lambda argument: f"taken: {argument}"}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_what_a_page_takes_is_as_it_is_now(page):
    text = page.read_text()

    assert written(text, SOURCES) == text, "run `python -m docs.generator`"


def asked_for(page, source):
    text = (DOCS / page).read_text()
    return re.findall(rf"^<!-- from the code: {source} (\S+) -->$", text, re.MULTILINE)


def test_each_command_of_the_product_has_a_section():
    apps = {"api", "audit", "consumer", "handlers", "listeners", "mirror", "simulator"}
    ours = {name for name, app in get_commands().items() if app in apps}

    assert set(asked_for("commands.md", "options")) == ours


def test_the_page_of_the_api_has_each_resource():
    resources = {prefix for prefix, *_ in router.registry} | {"status"}
    page = (DOCS / "api.md").read_text()

    assert set(re.findall(r"^\| `([\w-]+)/` \|", page, re.MULTILINE)) == resources


def test_only_what_is_between_the_comments_is_replaced():
    text = "a\n<!-- from the code: echo b c -->\nold\n<!-- to here -->\nd\n"

    fresh = written(text, ECHO)

    wanted = "a\n<!-- from the code: echo b c -->\n\ntaken: b c\n\n<!-- to here -->\nd\n"
    assert fresh == wanted
    assert written(fresh, ECHO) == fresh


@pytest.mark.parametrize(
    "text",
    [
        "<!-- from the code: nobody -->\n<!-- to here -->\n",
        "<!-- from the code: echo a -->\nand no end\n",
    ],
)
def test_an_unknown_name_and_a_missing_end_are_refused(text):
    with pytest.raises(UnknownSource):
        written(text, ECHO)


def test_a_bar_in_a_cell_is_no_end_of_it():
    assert table(("a",), [("b|c",)]) == "| a |\n| --- |\n| b\\|c |"


def test_the_options_of_a_command_have_their_values_and_defaults():
    text = options("run_salesforce_simulator")

    assert "| `--port PORT` | port to listen on; 0 picks a free port (default 0) |" in text
    assert "--settings" not in text
