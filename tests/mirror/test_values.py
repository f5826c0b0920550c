"""Values of every type and form become the values of columns, or are reported."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from django.db import models

from mirror.schema.columns import columns_of
from mirror.schema.csv_columns import RowsConverter
from mirror.schema.values import Converted, to_columns
from tests.mirror.crm.models import Account, Contact
from tests.mirror.test_columns import a_model

TEXT, NUMBER = models.TextField, models.DecimalField
ACCOUNT = columns_of(Account).against(
    [
        *("Id", "Name", "Phone", "BillingAddress", "BillingCity", "BillingStreet"),
        *("BillingLatitude", "OwnerId", "CreatedDate", "AnnualRevenue", "Region__c"),
    ]
)
CONTACT = columns_of(Contact).against(
    ["Name", "FirstName", "LastName", "Suffix", "AccountId", "MailingAddress", "MailingCity"]
)


def one(field, value, *, api="Value__c", kind=""):
    columns = columns_of(a_model(value=field)).against({api: kind})
    return to_columns(columns, {api: value})


def in_a_file(columns, header, texts):
    """Return the values of the only row of a CSV file."""
    found = RowsConverter(columns, header).convert([texts])
    values = {name: value for name, [value] in found.values.items()}
    return Converted(values, found.raw.get(0, {}), ["refused"] * found.refused)


def noon(year=2024, microsecond=0):
    return datetime(year, 6, 30, 12, 0, 0, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (models.BooleanField(null=True), "true", True),
        (models.BooleanField(null=True), False, False),
        (models.BooleanField(null=True), "", None),
        (models.BooleanField(default=False), None, False),
        (models.BigIntegerField(null=True), 3.0, 3),
        (models.BigIntegerField(null=True), "3.0", 3),
        (models.BigIntegerField(null=True), 2**53 + 1, 2**53 + 1),
        (models.BigIntegerField(null=True), Decimal("1E+3"), 1000),
        (models.FloatField(null=True), "47.0707", 47.0707),
        (NUMBER(null=True, max_digits=38, decimal_places=18), 0.1, Decimal("0.1")),
        (NUMBER(null=True, max_digits=38, decimal_places=18), "12.50", Decimal("12.50")),
        (NUMBER(null=True, max_digits=6, decimal_places=2), "12.5000", Decimal("12.5000")),
        (
            NUMBER(null=True, max_digits=38, decimal_places=18),
            Decimal("9999999999999999.99"),
            Decimal("9999999999999999.99"),
        ),
        (models.DateTimeField(null=True), "2024-06-30T12:00:00.000+0000", noon()),
        (models.DateTimeField(null=True), "2024-06-30T12:00:00.000Z", noon()),
        (models.DateTimeField(null=True), "2024-06-30T14:00:00+02:00", noon()),
        (models.DateTimeField(null=True), 1_719_748_800_123, noon(microsecond=123_000)),
        (models.DateField(null=True), 1_719_705_600_000, date(2024, 6, 30)),
        (models.DateField(null=True), -8_520_336_000_000, date(1700, 1, 1)),
        (models.DateField(null=True), "4000-12-31", date(4000, 12, 31)),
        (models.TimeField(null=True), "14:30:00.000Z", time(14, 30)),
        (models.TimeField(null=True), 52_200_001, time(14, 30, 0, 1000)),
        (TEXT(null=True), "a\0b", "a\ufffdb"),
        (TEXT(null=True), "a\ud800b", "a\ufffdb"),
        (TEXT(null=True), "", None),
        (TEXT(default=""), None, ""),
        (TEXT(null=True), 12.5, "12.5"),
        (TEXT(null=True), True, "true"),
        (TEXT(null=True), ["A", "B"], "A;B"),
        (models.JSONField(null=True), {"a": Decimal("0.5")}, {"a": 0.5}),
        (models.JSONField(null=True), '[1, "\\u0000"]', [1, "\ufffd"]),
        (models.UUIDField(null=True), "", None),
    ],
)
def test_a_value_fits_its_column(field, value, expected):
    converted = one(field, value)
    assert converted.values == {"value": expected}
    assert not converted.refused
    assert not converted.raw


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (models.BooleanField(null=True), "maybe", "not true or false"),
        (models.BooleanField(null=True), 1, "not true or false"),
        (models.BigIntegerField(null=True), 3.14, "not a whole number"),
        (models.BigIntegerField(null=True), "abc", "not a number"),
        (models.BigIntegerField(null=True), True, "not a number"),
        (models.BigIntegerField(null=True), 2**63, "outside the column's range"),
        (models.IntegerField(null=True), 2**31, "outside the column's range"),
        (models.PositiveSmallIntegerField(null=True), -1, "outside the column's range"),
        (models.BigIntegerField(null=True), "1e999999", "not a whole number"),
        (models.FloatField(null=True), "1e999", "too large"),
        (models.FloatField(null=True), float("nan"), "not a finite number"),
        (NUMBER(null=True, max_digits=6, decimal_places=2), "12.505", "2 decimal places"),
        (NUMBER(null=True, max_digits=6, decimal_places=2), "12345", "4 digits before"),
        (models.DateTimeField(null=True), "soon", "not a time"),
        (models.DateTimeField(null=True), 10**18, "not a time"),
        (models.DateField(null=True), "2024-06-31", "not a date"),
        (models.DateField(null=True), "2024-06-30T12:00:00.000Z", "time of day"),
        (models.TimeField(null=True), "25:00:00.000Z", "not a time of day"),
        (models.TimeField(null=True), 86_400_000, "not a time of day"),
        (models.CharField(null=True, max_length=3), "abcd", "longer than the column's 3"),
        (TEXT(null=True), {"a": 1}, "not a text"),
        (models.UUIDField(null=True), "abc", "not a value of a UUIDField"),
    ],
)
def test_a_value_that_does_not_fit_goes_to_raw_and_is_reported(field, value, reason):
    converted = one(field, value)
    assert converted.values == {"value": None}
    (refused,) = converted.refused
    assert (refused.field, refused.column) == ("Value__c", "value")
    assert reason in str(refused)
    assert "Value__c" in converted.raw


def test_ids_are_completed():
    assert to_columns(ACCOUNT, {"OwnerId": "005D0000001bYq8"}).values == {
        "owner_id": "005D0000001bYq8IAE"
    }
    looked_up = models.CharField(max_length=18, null=True)
    converted = one(looked_up, "001D000000IRFma", kind="reference")
    assert converted.values == {"value": "001D000000IRFmaIAH"}


def test_an_address_of_an_event_and_of_rest_become_the_same_columns():
    expected = {"billing_city": "Graz", "billing_latitude": 47.07}
    event = {"BillingAddress": {"City": "Graz", "Latitude": 47.07}}
    rest = {
        "BillingAddress": {"city": "Graz", "latitude": 47.07},
        "BillingCity": "Graz",
        "BillingLatitude": 47.07,
    }
    assert to_columns(ACCOUNT, event, is_whole=False).values == expected
    assert to_columns(ACCOUNT, rest).values == expected


def test_a_cleared_address_clears_its_components():
    converted = to_columns(ACCOUNT, {"BillingAddress": None}, is_whole=False)
    assert converted.values == {
        "billing_city": None,
        "billing_street": None,
        "billing_latitude": None,
    }
    assert to_columns(ACCOUNT, {"BillingAddress": {}}, is_whole=False).values == {}
    partly = to_columns(ACCOUNT, {"BillingAddress": {"City": None}}, is_whole=False)
    assert partly.values == {"billing_city": None}


def test_a_part_of_an_address_that_is_no_field_of_the_object_is_left_out():
    """REST has a country's code in an address; a query by the Bulk API cannot ask for it."""
    record = {"BillingAddress": {"city": "Graz", "countryCode": "AT"}}
    converted = to_columns(ACCOUNT, record)
    assert converted.values == {"billing_city": "Graz"}
    assert converted.raw == {}


def test_a_custom_geolocation_becomes_two_columns():
    model = a_model(
        site_latitude=models.FloatField(null=True), site_longitude=models.FloatField(null=True)
    )
    columns = columns_of(model).against(["Site__c", "Site__Latitude__s", "Site__Longitude__s"])
    converted = to_columns(columns, {"Site__c": {"Latitude": 1.5, "Longitude": 2}})
    assert converted.values == {"site_latitude": 1.5, "site_longitude": 2.0}
    assert not converted.raw


def test_the_name_of_a_new_person_is_put_together():
    converted = to_columns(CONTACT, {"Name": {"FirstName": "Ada", "LastName": "Byron"}})
    assert converted.values == {"first_name": "Ada", "last_name": "Byron", "name": "Ada Byron"}
    assert not converted.unknown


@pytest.mark.parametrize(
    ("name", "is_whole"),
    [({"LastName": "Byron"}, False), ({"LastName": "Byron", "Suffix": "Jr."}, True)],
)
def test_a_name_that_only_salesforce_knows_is_to_be_read(name, is_whole):
    converted = to_columns(CONTACT, {"Name": name}, is_whole=is_whole)
    assert "name" not in converted.values
    assert converted.values["last_name"] == "Byron"
    assert converted.unknown == {"Name"}


def test_fields_without_a_column_are_kept_in_one_form():
    columns = columns_of(Account).against(
        {"Name": "string", "Active__c": "boolean", "Score__c": "double", "Since__c": "datetime"}
    )
    expected = {"Active__c": True, "Score__c": 1.5, "Since__c": "2024-06-30T12:00:00+00:00"}
    forms = [
        {"Active__c": True, "Score__c": 1.5, "Since__c": 1_719_748_800_000},
        {"Active__c": "true", "Score__c": "1.5", "Since__c": "2024-06-30T12:00:00.000Z"},
        {"Active__c": True, "Score__c": Decimal("1.50"), "Since__c": "2024-06-30T12:00:00+00:00"},
    ]
    for record in forms:
        assert to_columns(columns, record).raw == expected
    row = in_a_file(
        columns,
        [*expected, "Name"],
        ["true", "1.5", "2024-06-30T12:00:00.000+0000", "Acme"],
    )
    assert row.raw == expected
    assert row.values == {"name": "Acme"}


def test_ids_without_a_column_are_completed():
    columns = columns_of(Account).against({"Partner__c": "reference"})
    assert to_columns(columns, {"Partner__c": "001D000000IRFma"}).raw == {
        "Partner__c": "001D000000IRFmaIAH"
    }


def test_own_columns_and_bookkeeping_are_not_in_raw():
    record = {
        "attributes": {"type": "Account"},
        "Id": "001",
        "IsDeleted": False,
        "LastModifiedDate": "2024-06-30T12:00:00.000Z",
        "SystemModstamp": "2024-06-30T12:00:00.000Z",
        "Region__c": "\0",
    }
    assert to_columns(ACCOUNT, record).raw == {"Region__c": "\ufffd"}


def test_the_object_of_a_polymorphic_reference_is_named():
    model = a_model(who_id=models.CharField(max_length=18, null=True), who_type=TEXT(null=True))
    columns = columns_of(model).against(["WhoId"])
    record_id = "003D000000QV9n2IAD"

    def kind(**record):
        return to_columns(columns, record).values["who_type"]

    assert kind(WhoId=record_id) == "Contact"
    assert kind(WhoId=record_id, Who={"attributes": {"type": "Lead"}}) == "Lead"
    assert kind(**{"WhoId": record_id, "Who.Type": "Lead"}) == "Lead"
    assert kind(WhoId=None) is None
    assert to_columns(columns, {}).values == {}
    row = in_a_file(columns, ["WhoId", "Who.Type"], [record_id, "Lead"])
    assert row.values == {"who_id": record_id, "who_type": "Lead"}
    assert not row.raw


def test_a_row_of_a_file_becomes_the_same_as_the_record():
    header = ["Id", "Name", "AnnualRevenue", "CreatedDate", "BillingCity", "Phone"]
    texts = ["001D000000IRFma", "Acme", "1.50", "2024-06-30T12:00:00.000Z", "", "bad\0"]
    row = in_a_file(ACCOUNT, header, texts)
    assert row == to_columns(ACCOUNT, dict(zip(header, texts, strict=True)))
    assert row.values["billing_city"] is None
    refused = in_a_file(ACCOUNT, ["AnnualRevenue"], ["much"])
    assert refused.values == {"annual_revenue": None}
    assert refused.raw == {"AnnualRevenue": "much"}
    assert refused.refused
