"""Each table of the kinds of login, on any page, has a row for every kind."""

import re
from itertools import groupby

from listeners.models import Connection
from tests.docs.examples import DOCS
from tests.docs.tables import named


def tables():
    """Yield each table as (page, names that its first cells mark as code)."""
    for page in sorted(DOCS.glob("*.md")):
        lines = page.read_text().splitlines()
        for is_table, rows in groupby(lines, key=lambda line: line.startswith("|")):
            if is_table:
                cells = [re.split(r"(?<!\\)\|", row)[1] for row in rows]
                yield page.name, {name for cell in cells for name in named(cell)}


def test_each_table_of_the_kinds_has_them_all():
    # `jwt_bearer` is a kind alone; `password` and others are fields as well.
    found = [(page, names) for page, names in tables() if "jwt_bearer" in names]

    assert "configuration.md" in {page for page, _ in found}
    assert len(found) > 1, "there is an overview, too"
    kinds = set(Connection.Auth.values)
    assert [(page, kinds - names) for page, names in found if kinds - names] == []
