"""A record that was read over REST gets the body that its change event would have."""

from __future__ import annotations

from typing import Any

import pytest

from listeners.salesforce.rest.records import (
    event_body,
    event_paths,
    last_modified_ms,
    milliseconds,
)


def record(**fields: Any) -> dict[str, Any]:
    return {
        "attributes": {"type": "Account", "url": "/services/data/v67.0/sobjects/Account/001"},
        "Id": "0015f00002J9YaUAAV",
        "IsDeleted": False,
        "SystemModstamp": "2024-04-09T20:26:28.000+0000",
        "LastViewedDate": None,
        "LastReferencedDate": None,
        **fields,
    }


def test_a_created_record_has_the_body_of_its_event(sample: Any) -> None:
    payload = dict(sample("account_create_2024.json")["data"]["payload"])
    del payload["ChangeEventHeader"]
    read = record(
        Name="Acme",
        Description="Sample account record.",
        Phone=None,
        CleanStatus="Pending",
        OwnerId="0055f000005mc66AAA",
        CreatedById="0055f000005mc66AAA",
        CreatedDate="2024-04-09T20:26:27.000+0000",
        LastModifiedById="0055f000005mc66AAA",
        LastModifiedDate="2024-04-09T20:26:27.000+0000",
        BillingAddress=None,
        BillingStreet=None,
        BillingCity=None,
    )

    assert event_body(read, "CREATE") == payload


def test_an_update_keeps_nulls_for_the_fields_that_may_have_been_cleared() -> None:
    body = event_body(record(Name="Acme", Phone=None), "UPDATE")

    assert body == {"Name": "Acme", "Phone": None}
    assert event_body(record(Name="Acme", Phone=None), "UNDELETE") == {"Name": "Acme"}


def test_an_update_keeps_the_null_parts_of_compound_fields() -> None:
    """They may have been cleared, and a handler that merges parts would otherwise keep old ones."""
    read = record(
        Name="Mei Ito", FirstName="Mei", MiddleName=None, LastName="Ito",
        BillingAddress={"street": "1 Main St", "city": None}, BillingStreet="1 Main St",
    )  # fmt: skip

    assert event_body(read, "UPDATE") == {
        "Name": {"FirstName": "Mei", "MiddleName": None, "LastName": "Ito"},
        "BillingAddress": {"Street": "1 Main St", "City": None},
    }


def test_an_address_is_one_field_in_the_events_names() -> None:
    read = record(
        BillingAddress={
            "street": "1 Main St",
            "city": "Zürich",
            "postalCode": None,
            "countryCode": "CH",
            "geocodeAccuracy": "Block",
        },
        BillingStreet="1 Main St",
        BillingCity="Zürich",
        BillingPostalCode=None,
        BillingCountryCode="CH",
        BillingGeocodeAccuracy="Block",
    )

    assert event_body(read, "UPDATE") == {
        "BillingAddress": {
            "Street": "1 Main St",
            "City": "Zürich",
            "PostalCode": None,
            "CountryCode": "CH",
            "GeocodeAccuracy": "Block",
        }
    }


def test_an_address_that_was_cleared_is_one_null() -> None:
    read = record(MailingAddress=None, MailingStreet=None, MailingCity=None)

    assert event_body(read, "UPDATE") == {"MailingAddress": None}


@pytest.mark.parametrize("name", ["EmailAddress", "Home__c"])
def test_a_plain_field_with_such_a_name_stays(name: str) -> None:
    assert event_body(record(**{name: None}), "UPDATE") == {name: None}
    assert event_body(record(**{name: "x"}), "UPDATE") == {name: "x"}


def test_a_geolocation_is_one_field() -> None:
    read = record(
        Site__c={"latitude": 47.4, "longitude": 8.5},
        Site__Latitude__s=47.4,
        Site__Longitude__s=8.5,
    )

    assert event_body(read, "CREATE") == {"Site__c": {"Latitude": 47.4, "Longitude": 8.5}}


def test_a_persons_name_is_one_field_with_the_parts_that_are_there() -> None:
    read = record(
        Name="Dr. Mei Ito", Salutation="Dr.", FirstName="Mei", MiddleName=None, LastName="Ito"
    )

    assert event_body(read, "CREATE") == {
        "Name": {"Salutation": "Dr.", "FirstName": "Mei", "LastName": "Ito"}
    }


def test_an_informal_name_is_a_part_of_the_name() -> None:
    read = record(Name="Mei Ito", FirstName="Mei", LastName="Ito", InformalName="May")

    parts = {"FirstName": "Mei", "LastName": "Ito", "InformalName": "May"}
    assert event_body(read, "CREATE") == {"Name": parts}
    assert event_paths("InformalName") == [("InformalName",), ("Name", "InformalName")]


def test_a_company_among_person_accounts_has_a_plain_name() -> None:
    read = record(Name="Acme", FirstName=None, LastName=None, Salutation=None)

    assert event_body(read, "UPDATE") == {"Name": "Acme"}


def test_text_that_only_begins_like_a_time_is_left_as_it_is() -> None:
    text = "2024-04-09T20:26:27.000+0000 was the day"

    assert event_body(record(Notes__c=text), "UPDATE") == {"Notes__c": text}


@pytest.mark.parametrize(
    "value",
    [
        "2024-04-09T20:26:27.000+0000",
        "2024-04-09T20:26:27.000Z",
        "2024-04-09T20:26:27Z",
        1_712_694_387_000,
    ],
)
def test_a_time_is_read_in_each_of_its_forms(value: object) -> None:
    assert milliseconds(value) == 1_712_694_387_000


@pytest.mark.parametrize("value", [None, "", "soon", True, 1.5, {}])
def test_what_is_no_time_is_none(value: object) -> None:
    assert milliseconds(value) is None


def test_an_entity_without_last_modified_date_is_as_of_its_stamp() -> None:
    assert last_modified_ms(record()) == 1_712_694_388_000
    assert last_modified_ms(record(LastModifiedDate="2024-04-09T20:26:27.000+0000")) == (
        1_712_694_387_000
    )
    assert last_modified_ms({}) is None
