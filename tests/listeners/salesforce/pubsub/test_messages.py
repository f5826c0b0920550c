"""A message holds an event's values, changed fields and cleared fields."""

from __future__ import annotations

from listeners.salesforce.decode import decode
from listeners.salesforce.pubsub.to_cometd import message_of
from tests.listeners.salesforce.pubsub.avro_events import (
    CHANNEL,
    HEADER,
    THING,
    changed,
    consumed,
    header,
    message,
    optional,
    payload,
    record,
    schema_of,
)

STREET = {"Street": "1 Market St", "City": None, "Lat": None}


def test_a_message_has_the_form_of_the_streaming_api() -> None:
    assert message({"Phone": "1"}, changeType="CREATE") == {
        "channel": CHANNEL,
        "data": {
            "schema": "s-1",
            "payload": {
                "ChangeEventHeader": {
                    "entityName": "Thing",
                    "recordIds": ["a00B000000AVWaZIAX"],
                    "changeType": "CREATE",
                    "changeOrigin": "",
                    "transactionKey": "000a50de-05dd-07c4-22fb-44b7f9e72ab5",
                    "sequenceNumber": 19,
                    "commitTimestamp": 1714417112000,
                    "commitNumber": 72784468115,
                    "commitUser": "005ZM000000Q6ipYAC",
                    "nulledFields": [],
                    "diffFields": [],
                    "changedFields": [],
                },
                "Phone": "1",
            },
            "event": {"replayId": "0x0000000000a748390000", "EventUuid": "e-1"},
        },
    }


def test_a_create_has_what_is_not_null() -> None:
    assert changed(
        {"Name": "Acme", "Billing": STREET, "Shipping": dict.fromkeys(STREET), "Amount": 0.0},
        changeType="CREATE",
    ) == {"Name": "Acme", "Billing": {"Street": "1 Market St"}, "Amount": 0}


def test_an_update_without_bitmaps_has_what_is_not_null() -> None:
    assert changed({"Phone": "1", "LastModifiedDate": 0}) == {
        "Phone": "1",
        "LastModifiedDate": "1970-01-01T00:00:00.000Z",
    }


def test_an_update_has_an_explicit_null_for_what_was_cleared() -> None:
    assert changed(
        {"Amount": 2.5, "LastModifiedDate": 0}, changedFields=["0x66"], nulledFields=["0x04"]
    ) == {
        "Name": None,
        "Phone": None,
        "Amount": 2.5,
        "LastModifiedDate": "1970-01-01T00:00:00.000Z",
    }
    assert changed({}, nulledFields=["0x04"]) == {"Phone": None}
    assert changed({}, changedFields=["0x04"]) == {"Phone": None}


def test_a_value_that_no_bitmap_names_is_kept() -> None:
    enriched = changed({"Phone": "1", "Billing": STREET}, changedFields=["3-0x02"])

    assert enriched == {"Phone": "1", "Billing": {"Street": "1 Market St", "City": None}}


def test_a_cleared_child_is_null_within_its_compound() -> None:
    assert changed({"Billing": STREET}, changedFields=["3-0x07"], nulledFields=["3-0x06"]) == {
        "Billing": {"Street": "1 Market St", "City": None, "Lat": None}
    }
    assert changed({}, changedFields=["3-0x01"], nulledFields=["3-0x04"]) == {
        "Billing": {"Street": None, "Lat": None}
    }
    assert changed({"Shipping": dict.fromkeys(STREET)}, nulledFields=["4-0x02"]) == {
        "Shipping": {"City": None}
    }


def test_a_compound_that_was_cleared_as_a_whole_is_null() -> None:
    assert changed({}, changedFields=["0x08"]) == {"Billing": None}
    assert changed({"Billing": dict.fromkeys(STREET)}, changedFields=["0x08"]) == {"Billing": None}


def test_a_name_is_a_text_or_a_persons() -> None:
    person = {"FirstName": None, "LastName": "King"}

    assert changed({"Name": person}, changedFields=["1-0x03"]) == {"Name": person}
    assert changed({"Name": "King"}, changedFields=["1-0x02"]) == {"Name": "King"}


def test_a_diff_is_distinguished_from_a_whole_text() -> None:
    values = {"Phone": "--- \n+++ ", "Billing": STREET, "Amount": 1.0}

    assert changed(values, changedFields=["0x24", "3-0x01"], diffFields=["0x24", "3-0x01"]) == {
        "Phone": {"diff": "--- \n+++ "},
        "Billing": {"Street": {"diff": "1 Market St"}},
        "Amount": 1,
    }


def test_bits_that_name_the_header_change_nothing_in_it() -> None:
    [event] = decode(message({"Phone": "1"}, diffFields=["0-0x01"], changedFields=["0x01"]))

    assert event.entity_name == "Thing"
    assert event.diff_fields == ("ChangeEventHeader.entityName",)


def test_a_deletion_has_no_fields() -> None:
    [event] = decode(message({}, changeType="DELETE"))

    assert event.changed_data == {}


def test_a_compound_within_a_compound_leaves_its_nulls_out_too() -> None:
    inner = record("Inner", optional("A", "string"), optional("B", "double"))
    outer = record("Outer", optional("Inner", inner))
    definition = record(
        "X", {"name": "ChangeEventHeader", "type": HEADER}, optional("Outer", outer)
    )

    found = message({"Outer": {"Inner": {"A": None, "B": 2.0}}}, definition)

    assert found["data"]["payload"]["Outer"] == {"Inner": {"B": 2}}


def test_the_header_is_passed_on_as_it_is_with_fields_of_later_releases() -> None:
    definition = record(
        "X",
        {
            "name": "ChangeEventHeader",
            "type": HEADER | {"fields": [*HEADER["fields"], optional("later", "double", "bytes")]},
        },
    )

    found = message({}, definition, later=b"a", changeType="GAP_UPDATE", sequenceNumber=-1)

    assert found["data"]["payload"]["ChangeEventHeader"]["later"] == "YQ=="
    assert found["data"]["payload"]["ChangeEventHeader"]["changeType"] == "GAP_UPDATE"
    assert found["data"]["payload"]["ChangeEventHeader"]["sequenceNumber"] == -1
    assert decode(message({}, definition, later=b"a"))[0].header_extra == {"later": "YQ=="}
    assert decode(message({}, definition, later=None))[0].header_extra is None


def test_a_header_without_bitmaps_has_none_in_the_message() -> None:
    fields = [field for field in HEADER["fields"] if not field["name"].endswith("Fields")]
    older = record("X", {"name": "ChangeEventHeader", "type": HEADER | {"fields": fields}})

    [event] = decode(message({}, older))

    assert (event.changed_fields, event.nulled_fields, event.diff_fields) == (None, None, None)


def test_a_message_decodes_to_an_event_for_each_record() -> None:
    events = decode(message({"Phone": "1"}, recordIds=["001A", "001B"], changedFields=["0x04"]))

    assert [event.record_id for event in events] == ["001A", "001B"]
    assert {event.replay_id for event in events} == {"0x0000000000a748390000"}
    assert {event.event_uuid for event in events} == {"e-1"}
    assert {event.changed_fields for event in events} == {("Phone",)}
    assert [event.changed_data for event in events] == [{"Phone": "1"}] * 2


def test_an_event_without_an_id_has_no_uuid() -> None:
    given = consumed(payload({"ChangeEventHeader": header()}))
    given.event.id = ""

    assert "EventUuid" not in message_of(CHANNEL, given, schema_of(THING))["data"]["event"]
