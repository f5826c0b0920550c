"""The README's reference has a row for every setting."""

from pathlib import Path

import pytest

from consumer.configuration import keys
from listeners.client_rules import CLIENT_KEYS, REFRESH_KEYS, TLS_KEYS

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def rows() -> list[str]:
    """The first cell of each row of each table."""
    lines = README.read_text().splitlines()
    return [line.split("|")[1] for line in lines if line.startswith("| `")]


def test_every_key_of_the_file_has_a_row(rows):
    known = {*keys.CONNECTION, *keys.LISTENER, *keys.HANDLER, keys.REFERENCE, keys.HANDLERS}
    nested = set(keys.WRITTEN)
    wanted = (known - nested) | set(keys.NESTED)

    missing = {key for key in wanted if not any(f"`{key}`" in cell for cell in rows)}

    assert not missing


def test_every_part_of_a_nested_setting_is_named(rows):
    text = README.read_text()
    parts = {*CLIENT_KEYS, *REFRESH_KEYS} - {"tls"}

    assert not {key for key in parts if f"`{key}`" not in text}
    assert not {key for key in TLS_KEYS if f"`tls.{key}`" not in text}
    for nested in keys.NESTED.values():
        assert all(part in text for part in nested.parts)


def test_defaults_stand_as_they_are(rows):
    from listeners.models import Connection, Listener

    lines = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    for model in (Connection, Listener):
        for field in model._meta.fields:
            default = field.get_default()
            [*found] = [line for line in lines if line.startswith(f"| `{field.name}`")]
            if found and isinstance(default, int | float) and not isinstance(default, bool):
                assert f"`{default}`" in found[0], found[0]
