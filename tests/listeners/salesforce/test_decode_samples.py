"""The decoder reads payloads of real orgs."""

from __future__ import annotations

from typing import Any

from listeners.salesforce.decode import decode
from listeners.salesforce.events import ChangeKind


def test_a_real_create_keeps_its_fields_and_header(sample: Any) -> None:
    message = sample("account_create_2024.json")

    [event] = decode(message)

    assert event.kind is ChangeKind.CREATE
    assert (event.entity_name, event.record_id) == ("Account", "0015f00002J9YaUAAV")
    assert event.replay_id == "37904280"
    assert event.commit_number == 1082990428293
    assert event.changed_fields == ()
    assert event.nulled_fields is None
    assert event.changed_data["Description"] == "Sample account record."
    assert set(event.changed_data) | {"ChangeEventHeader"} == set(message["data"]["payload"])


def test_a_real_life_of_one_record_is_four_events(sample: Any) -> None:
    messages = sample("employee_create_update_delete_undelete.json")

    events = [event for message in messages for event in decode(message)]

    assert [event.kind for event in events] == [
        ChangeKind.CREATE,
        ChangeKind.UPDATE,
        ChangeKind.DELETE,
        ChangeKind.UNDELETE,
    ]
    assert {event.record_id for event in events} == {"a00B000000AVWaZIAX"}
    assert {event.channel for event in events} == {"/data/Employee__ChangeEvent"}
    assert events[1].changed_data["Tenure__c"] == 22
    assert events[2].changed_data == {}
    assert {event.changed_fields for event in events} == {None}


def test_a_documented_gap_event_has_no_fields(sample: Any) -> None:
    [event] = decode(sample("gap_update_v224.json"))

    assert event.is_gap
    assert event.kind is ChangeKind.GAP_UPDATE
    assert event.changed_data == {}
    assert event.change_origin == ""
