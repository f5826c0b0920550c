"""The database finds the rows that do not have the values of records that were read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mirror.apply.differing import differing
from mirror.schema.columns import columns_of
from tests.mirror.crm.models import Account

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = columns_of(Account)
NAMES = ("salesforce_id", "raw", "name", "annual_revenue", "created_date", "billing_latitude")
CREATED = datetime(2024, 6, 30, 12, tzinfo=UTC)
VALUES = ("Acme", Decimal("1.5"), CREATED, 47.0707)
KEY = "001000000000001AAA"


def stored(raw=None, **values):
    Account.all_objects.all().delete()
    known = dict(zip(NAMES[2:], VALUES, strict=True)) | values
    Account.all_objects.create(salesforce_id=KEY, raw={} if raw is None else raw, **known)


def is_found(raw=None, values=VALUES):
    return differing(COLUMNS, "default", NAMES, [(KEY, raw or {}, *values)]) == [KEY]


def test_a_row_with_the_same_values_is_not_found():
    stored()
    assert not is_found()
    stored(annual_revenue=None, created_date=None)
    assert not is_found(values=("Acme", None, None, 47.0707))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("name", value) for value in (None, "", "acme", "Acme ")),
        *(("annual_revenue", value) for value in (None, "1.51", "0")),
        *(("created_date", value) for value in (None, CREATED.replace(second=1))),
        *(("billing_latitude", value) for value in (None, 47.07070000000001)),
        *(("is_deleted", True), ("is_complete", False)),
    ],
)
def test_a_row_with_another_value_is_found(column, value):
    stored(**{column: value})
    assert is_found()


def test_a_missing_row_is_found():
    assert is_found()


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ({"X__c": 1, "Hidden__c": "kept"}, {"X__c": 1}, False),
        ({"X__c": 1}, {"X__c": 1, "Y__c": None}, False),
        ({"X__c": None}, {}, False),
        ({"X__c": None}, {"X__c": None}, False),
        ({"X__c": 1}, {"X__c": 2}, True),
        ({"X__c": 1}, {"X__c": "1"}, True),
        ({"X__c": 1}, {"X__c": None}, True),
        ({"X__c": True}, {"X__c": False}, True),
        ({}, {"X__c": 1}, True),
        ({"X__c": None, "Y__c": "a"}, {"X__c": None, "Y__c": "b"}, True),
    ],
)
def test_fields_without_a_column_are_compared(here, there, expected):
    stored(raw=here)
    assert is_found(raw=there) is expected


def test_many_rows_are_compared_at_once():
    keys = [f"001{number:015d}" for number in range(300)]
    Account.all_objects.bulk_create(Account(salesforce_id=key, name=key) for key in keys)
    rows = [(key, "{}", "other" if key in keys[::50] else key, None, None, None) for key in keys]

    assert sorted(differing(COLUMNS, "default", NAMES, rows)) == keys[::50]
