"""docs/configuration.md has a row for every setting, with its default."""

import pytest

from consumer.configuration import schema
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener
from listeners.models.client_config_rules import CLIENT_KEYS, REFRESH_KEYS, TLS_KEYS
from tests.docs.examples import DOCS
from tests.docs.tables import rows_of

PAGE = DOCS / "configuration.md"


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    return rows_of(PAGE)


def test_every_key_of_the_file_has_a_row(rows):
    known = {
        *schema.CONNECTION,
        *schema.LISTENER,
        *schema.HANDLER,
        schema.CONNECTION_KEY,
        schema.HANDLERS,
    }
    wanted = known - {schema.PREFIX + part for part in schema.PARTS} | {schema.NESTED}

    missing = {key for key in wanted if not any(f"`{key}`" in first for first, *_ in rows)}

    assert not missing, "give each a row in docs/configuration.md"


def test_every_part_of_a_nested_setting_is_named():
    text = PAGE.read_text()
    parts = {*CLIENT_KEYS, *REFRESH_KEYS} - {"tls"}

    assert not {key for key in parts if f"`{key}`" not in text}
    assert not {key for key in TLS_KEYS if f"`tls.{key}`" not in text}
    assert all(part in text for part in schema.PARTS)


@pytest.mark.parametrize("model", [Connection, Listener, HandlerMapping])
def test_defaults_stand_as_they_are(rows, model):
    compared = 0
    for field in model._meta.fields:
        default = field.get_default()
        told = [row for row in rows if row[0].startswith(f"`{field.name}`")]
        if told and isinstance(default, int | float | str) and default != "":
            text = str(default).lower() if isinstance(default, bool) else str(default)
            compared += 1
            assert any(f"`{text}`" in row[1] for row in told), (field.name, text)
    assert compared > 1
