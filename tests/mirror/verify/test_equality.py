"""Values are equal as Salesforce stores them, not as they are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from mirror.schema.storable import storable_json
from mirror.verify.equality import is_equal

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("here", "there", "kind"),
    [
        ("", None, "string"),
        ("A;B", "B; A", "multipicklist"),
        ("", None, "multipicklist"),
        (["A", "B"], ["B", "A"], "multipicklist"),
        ([], None, "multipicklist"),
        (NOON, NOON.replace(microsecond=999_000), "datetime"),
        (NOON, NOON.astimezone(timezone(timedelta(hours=2))), "datetime"),
        (Decimal("12.50"), 12.5, "double"),
        (Decimal("0.1"), Decimal("0.100000000000000005551"), "double"),
        (3, Decimal("3.0"), "double"),
        (time(14, 30, 0, 1000), time(14, 30, 0, 1999), "time"),
        ("001000000000001", "001000000000001AAA", "reference"),
        ("5", 5, "anyType"),
        ("5.0", 5, "anyType"),
        ("true", True, "anyType"),
        ({"a": "", "b": 1}, {"a": None, "b": 1.0}, "address"),
    ],
)
def test_equal(here, there, kind):
    assert is_equal(here, there, kind)
    assert is_equal(there, here, kind)


@pytest.mark.parametrize(
    ("here", "there", "kind"),
    [
        ("A;B", "B;A", "string"),
        ("A", "a", "string"),
        ("A;B", "A", "multipicklist"),
        (["A", "B"], ["A"], "multipicklist"),
        (NOON, NOON + timedelta(seconds=1), "datetime"),
        (date(2026, 1, 2), date(2026, 1, 3), "date"),
        (Decimal("12.5"), Decimal("12.6"), "double"),
        (9007199254740993, 9007199254740992, "long"),
        (False, None, "boolean"),
        (0, None, "double"),
        ("07", "7", "anyType"),
        ("6", 5, "anyType"),
        ("true", False, "anyType"),
        ("5", 5, "string"),
    ],
)
def test_different(here, there, kind):
    assert not is_equal(here, there, kind)
    assert not is_equal(there, here, kind)


def test_a_value_that_json_does_not_know_is_stored_as_its_text():
    value = UUID("12345678-1234-5678-1234-567812345678")
    assert storable_json({"a": [value]}) == {"a": [str(value)]}
