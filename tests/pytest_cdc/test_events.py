"""The events that the pytest plugin makes: what a real change of that kind carries."""

import json
from datetime import UTC, datetime

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import Listener
from pytest_cdc.changes import Change, WrongChange


def test_a_create_carries_its_fields_and_the_system_fields(cdc_event):
    event = cdc_event("Account", "create", changed={"Name": "Acme"})

    system = {"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"}
    assert event.changed_data["Name"] == "Acme"
    assert event.changed_data.keys() == system | {"Name"}
    assert event.metadata.change_type == "CREATE"
    assert event.metadata.record_id.startswith("001")
    assert (len(event.metadata.record_id), len(event.metadata.commit_user)) == (18, 18)
    assert event.metadata.changed_fields == ()


def test_an_update_names_what_changed_what_was_cleared_and_what_is_a_diff(cdc_event):
    event = cdc_event(
        "Contact",
        "update",
        changed={
            "Phone": None,
            "Name": {"FirstName": "Ann", "Suffix": None},
            "Description": {"diff": "--- \n+++ x"},
        },
    )

    metadata = event.metadata
    named = ("LastModifiedDate", "Phone", "Name.FirstName", "Name.Suffix", "Description")
    assert metadata.changed_fields == named
    assert metadata.nulled_fields == ("Phone", "Name.Suffix")
    assert metadata.diff_fields == ("Description",)


def test_an_event_is_the_one_of_an_entry_that_was_recorded_as_the_listener_records(cdc_event):
    event = cdc_event("Account", "update", changed={"Name": "New"}, client="my-app")

    entry = AuditLogEntry.objects.get(pk=event.id)
    assert (entry.source, entry.changed_data) == ("stream", event.changed_data)
    assert (entry.replay_id, entry.listener.name) == (event.replay_id, event.listener)
    assert event.metadata.change_origin == "com/salesforce/api/rest/67.0;client=my-app"


def test_what_a_test_says_of_a_change_is_what_its_header_says(cdc_event):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    event = cdc_event(
        "Account",
        "update",
        record_id="0015g00000AbCdE",
        changed={"Name": "New"},
        changed_fields=None,
        nulled_fields=["Phone"],
        origin="com/salesforce/api/bulkapi/67.0",
        user="0055g00000XyZaBAAV",
        transaction_key="0001-2",
        sequence_number=7,
        committed_at=moment,
    )

    told = event.metadata
    assert told.record_id == "0015g00000AbCdEAAV"
    assert (told.changed_fields, told.nulled_fields, told.diff_fields) == (None, ("Phone",), ())
    assert told.change_origin == "com/salesforce/api/bulkapi/67.0"
    assert told.commit_user == "0055g00000XyZaBAAV"
    assert (told.transaction_key, told.sequence_number) == ("0001-2", 7)
    assert told.commit_timestamp == moment.timestamp() * 1000
    assert event.changed_data["LastModifiedDate"] == "2026-01-02T03:04:05Z"


def test_one_event_of_several_records_is_one_for_each(cdc_event):
    records = ["0015g00000AbCdEAAV", "0015g00000AbCdFAAV"]

    events = cdc_event.several(records, "Account", "update", changed={"Rating": "Hot"})

    assert [event.metadata.record_id for event in events] == records
    assert {event.metadata.record_ids for event in events} == {tuple(records)}
    assert len({event.id for event in events}) == 2


def test_what_was_read_after_a_gap_has_the_whole_record_and_no_list_of_fields(cdc_event):
    event = cdc_event("Account", "update", changed={"Name": "Acme", "Fax": None}, source="gap")

    entry = AuditLogEntry.objects.get(pk=event.id)
    assert (entry.source, entry.as_of is None) == ("gap", False)
    assert (event.metadata.change_type, event.metadata.changed_fields) == ("UPDATE", None)
    assert event.changed_data["Fax"] is None
    assert "CreatedDate" in event.changed_data
    assert AuditLogEntry.objects.filter(change_type="GAP_UPDATE").count() == 1
    assert not Incident.objects.filter(closed_at=None).exists()


@pytest.mark.parametrize("on", ["create", "update", "delete"])
def test_what_a_comparison_found_is_recorded_as_it_finds_it(cdc_event, on):
    changed = {} if on == "delete" else {"Name": "Acme"}

    event = cdc_event("Account", on, changed=changed, source="reconcile")

    assert AuditLogEntry.objects.get(pk=event.id).source == "reconcile"
    assert event.metadata.change_type == on.upper()
    assert event.metadata.transaction_key.startswith("reconcile:")
    assert event.replay_id == ""
    assert event.changed_data.get("Name") == changed.get("Name")


def test_a_comparison_finds_a_restore_after_a_delete(cdc_event):
    deleted = cdc_event("Account", "delete")
    restored = {"record_id": deleted.metadata.record_id, "changed": {"Name": "A"}}

    event = cdc_event("Account", "restore", source="reconcile", **restored)

    assert event.metadata.change_type == "UNDELETE"
    with pytest.raises(WrongChange, match="finds UPDATE, not UNDELETE"):
        cdc_event("Account", "restore", source="reconcile", changed={"Name": "A"})


def test_the_header_has_what_that_of_a_real_org_has(samples):
    real = json.loads((samples / "cometd/account_create_2024.json").read_text())

    made = Change.of("Account", "create", [], {"changed": {"Name": "Acme"}}).message("/data/x")

    payload, made_payload = real["data"]["payload"], made["data"]["payload"]
    assert made_payload["ChangeEventHeader"].keys() >= payload["ChangeEventHeader"].keys()
    for name, value in payload["ChangeEventHeader"].items():
        assert type(made_payload["ChangeEventHeader"][name]) is type(value), name
    assert made["data"]["event"].keys() >= real["data"]["event"].keys()


@pytest.mark.parametrize(
    ("arguments", "said", "why"),
    [
        (("Account", "update"), {}, 'say which, such as changed={"Name": "New"}'),
        (("Account", "delete"), {"changed": {"Name": "A"}}, "carries no fields"),
        (("Account", "create"), {"changed": {"Fax": None}}, "not empty; leave out Fax"),
        (("Account", "GAP_UPDATE"), {"changed": {"Name": "A"}}, "carries no fields"),
        (("Account", "GAP_UPDATE"), {"source": "gap"}, "leave source out"),
        (("Account", "onUpdate"), {}, "say one of create, update, delete, restore"),
        (("Account", "GAP_OVERFLOW"), {}, "no handler gets such a change"),
        (("a table",), {}, "API name, such as Account"),
        (("Account",), {"record_id": "42"}, "15 or 18 letters"),
        (("Account",), {"source": "ingest"}, "source is stream, gap or reconcile"),
        (("Account",), {"fields": {"Name": "A"}}, "there is no fields; say record_id, changed"),
        (("Account",), {"committed_at": datetime(2026, 1, 1)}, "with a time zone"),
        (("Account",), {"changed": {"Name": "\0"}, "sequence_number": -1}, "sequenceNumber"),
    ],
)
def test_what_salesforce_never_tells_is_refused_with_what_to_write(cdc_event, arguments, said, why):
    with pytest.raises(WrongChange) as refused:
        cdc_event(*arguments, **said)

    assert why in str(refused.value)
    assert not AuditLogEntry.objects.exists()


def test_the_same_change_twice_is_refused(cdc_event):
    same = {"record_id": "0015g00000AbCdEAAV", "transaction_key": "0001-2"}
    cdc_event("Account", **same)

    with pytest.raises(WrongChange, match="Give it another sequence_number"):
        cdc_event("Account", **same)


def test_a_gap_is_read_only_where_the_listener_reads_them(cdc_event, cdc_listener):
    cdc_listener.gap_policy = Listener.GapPolicy.DELIVER
    cdc_listener.save()

    with pytest.raises(WrongChange, match="GAP_UPDATE without a source"):
        cdc_event("Account", "update", changed={"Name": "A"}, source="gap")
