from __future__ import annotations

import copy
from typing import Any

import pytest

from listeners.salesforce.decode import decode
from listeners.salesforce.errors import Undecodable
from listeners.salesforce.events import ChangeEvent, ChangeKind
from tests.listeners.salesforce.change_message import message, with_value


def test_every_part_of_a_message_lands_in_its_event() -> None:
    header = {"changedFields": ["Name"], "nulledFields": [], "diffFields": ["Description"]}

    events = decode(message(**header))

    assert events == [
        ChangeEvent(
            channel="/data/ChangeEvents",
            replay_id="37904280",
            event_uuid="e-1",
            entity_name="Account",
            record_id="0015f00002J9YaUAAV",
            record_ids=("0015f00002J9YaUAAV",),
            change_type="UPDATE",
            change_origin="com/salesforce/api/rest/67.0;client=me",
            transaction_key="0001ae4b-7024-a64a-87f0-f2c8cebdca76",
            sequence_number=1,
            commit_timestamp=1712694387000,
            commit_number=1082990428293,
            commit_user="0055f000005mc66AAA",
            changed_fields=("Name",),
            nulled_fields=(),
            diff_fields=("Description",),
            changed_data={"Name": "Acme"},
            header_extra=None,
        )
    ]


def test_header_fields_of_other_releases_are_kept() -> None:
    [event] = decode(message(isTransactionEnd=False, later=["x"], absent=None))

    assert event.header_extra == {"isTransactionEnd": False, "later": ["x"]}


@pytest.mark.parametrize("value", [float("nan"), {"deep": [float("inf")]}])
def test_a_header_field_that_no_database_takes_is_undecodable(value: Any) -> None:
    with pytest.raises(Undecodable) as flaw:
        decode(message(later=value))

    assert flaw.value.reason.startswith("data.payload.ChangeEventHeader.later")


def test_each_record_of_a_message_gets_its_own_event() -> None:
    record_ids = [f"001{number:015d}" for number in range(20)]

    events = decode(message(recordIds=record_ids))
    events[0].changed_data["Name"] = "changed by one handler"

    assert [event.record_id for event in events] == record_ids
    assert {event.record_ids for event in events} == {tuple(record_ids)}
    assert events[1].changed_data == {"Name": "Acme"}


def test_a_record_named_twice_in_one_message_is_one_event() -> None:
    events = decode(message(recordIds=["b", "a", "b"]))

    assert [event.record_id for event in events] == ["b", "a"]
    assert events[0].record_ids == ("b", "a")


def test_json_types_and_nulls_are_kept() -> None:
    fields: dict[str, Any] = {
        "Phone": None,
        "IsActive": False,
        "Count": 2**60,
        "Amount": 0.1,
        "BillingAddress": {"Street": None, "Latitude": 47.5},
        "Tags": ["a", None, 1],
        "Description": {"diff": "--- a\n+++ b"},
    }
    changed = message()
    changed["data"]["payload"] |= fields
    before = copy.deepcopy(changed)

    [event] = decode(changed)

    assert event.changed_data == {"Name": "Acme", **fields}
    assert type(event.changed_data["IsActive"]) is bool
    assert changed == before


@pytest.mark.parametrize("name", ["changedFields", "nulledFields", "diffFields", "commitNumber"])
@pytest.mark.parametrize("given_as", ["null", "absent"])
def test_what_the_header_may_lack_is_none(name: str, given_as: str) -> None:
    changed = message(**{name: None})
    if given_as == "absent":
        del changed["data"]["payload"]["ChangeEventHeader"][name]

    [event] = decode(changed)

    fields = [event.changed_fields, event.nulled_fields, event.diff_fields, event.commit_number]
    assert None in fields


@pytest.mark.parametrize(("replay_id", "kept"), [(1, "1"), ("00x", "00x"), (2**90, str(2**90))])
def test_the_replay_id_is_kept_as_text(replay_id: Any, kept: str) -> None:
    [event] = decode(with_value("data.event.replayId", replay_id))

    assert event.replay_id == kept


@pytest.mark.parametrize(
    ("change_type", "kind", "is_gap", "is_overflow"),
    [
        ("CREATE", ChangeKind.CREATE, False, False),
        ("UPDATE", ChangeKind.UPDATE, False, False),
        ("DELETE", ChangeKind.DELETE, False, False),
        ("UNDELETE", ChangeKind.UNDELETE, False, False),
        ("GAP_CREATE", ChangeKind.GAP_CREATE, True, False),
        ("GAP_UPDATE", ChangeKind.GAP_UPDATE, True, False),
        ("GAP_DELETE", ChangeKind.GAP_DELETE, True, False),
        ("GAP_UNDELETE", ChangeKind.GAP_UNDELETE, True, False),
        ("GAP_OVERFLOW", ChangeKind.GAP_OVERFLOW, False, True),
        ("SNAPSHOT", ChangeKind.SNAPSHOT, False, False),
        ("GAP_NEW", ChangeKind.UNKNOWN, True, False),
        ("MERGE", ChangeKind.UNKNOWN, False, False),
        ("update", ChangeKind.UNKNOWN, False, False),
    ],
)
def test_every_change_type_has_a_kind(
    change_type: str, kind: ChangeKind, is_gap: bool, is_overflow: bool
) -> None:
    [event] = decode(message(changeType=change_type))

    assert (event.kind, event.is_gap, event.is_overflow) == (kind, is_gap, is_overflow)
    assert event.change_type == change_type


def test_a_wildcard_stands_for_the_whole_entity() -> None:
    [event] = decode(message(recordIds=["001*"]))

    assert event.record_id == "001*"
