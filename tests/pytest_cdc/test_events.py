"""Events made by the pytest plugin have the content of real changes of that kind."""

import json
from datetime import UTC, datetime

import pytest

from audit.models import AuditLogEntry
from pytest_cdc.events import payload


def test_a_create_carries_its_fields_and_the_system_fields(cdc_event):
    event = cdc_event("Account", "create", changed={"Name": "Acme"})

    system = {"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"}
    assert event.changed_data["Name"] == "Acme"
    assert event.changed_data.keys() == system | {"Name"}
    assert event.metadata.change_type == "CREATE"
    assert event.metadata.record_id.startswith("001")
    assert (len(event.metadata.record_id), len(event.metadata.commit_user)) == (18, 18)
    assert event.metadata.changed_fields == ()


def test_an_update_names_changed_cleared_and_diff_fields(cdc_event):
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


def test_an_event_is_of_an_entry_that_was_recorded_as_the_listener_records(cdc_event):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    entry = AuditLogEntry.objects.get(pk=event.id)
    assert (entry.source, entry.changed_data) == ("stream", event.changed_data)
    assert (entry.replay_id, entry.listener.name) == (event.replay_id, event.listener)


def test_the_header_is_as_the_test_says(cdc_event):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    event = cdc_event(
        "Account",
        "update",
        record_id="0015g00000AbCdEAAV",
        changed={"Name": "New"},
        changedFields=None,
        nulledFields=["Phone"],
        changeOrigin="com/salesforce/api/bulkapi/67.0",
        transactionKey="0001-2",
        sequenceNumber=7,
        commitTimestamp=round(moment.timestamp() * 1000),
    )

    metadata = event.metadata
    assert metadata.record_id == "0015g00000AbCdEAAV"
    assert (metadata.changed_fields, metadata.nulled_fields) == (None, ("Phone",))
    assert metadata.change_origin == "com/salesforce/api/bulkapi/67.0"
    assert (metadata.transaction_key, metadata.sequence_number) == ("0001-2", 7)
    assert event.changed_data["LastModifiedDate"] == "2026-01-02T03:04:05Z"


def test_the_header_has_the_fields_of_a_real_orgs(samples):
    real = json.loads((samples / "cometd/account_create_2024.json").read_text())
    header = real["data"]["payload"]["ChangeEventHeader"]

    made = payload("Account", "CREATE", "0015g00000AbCdEAAV", {}, {})["ChangeEventHeader"]

    assert made.keys() >= header.keys()
    for name, value in header.items():
        assert type(made[name]) is type(value), name


@pytest.mark.parametrize(
    ("arguments", "given", "why"),
    [
        (("Account", "update"), {}, 'such as changed={"Name": "New"}'),
        (("Account", "onUpdate"), {}, "Use one of create, update, delete, restore"),
        (
            ("Account",),
            {"fields": {"Name": "A"}},
            "Unknown header fields: fields. Use some of entityName",
        ),
        (("Account",), {"sequenceNumber": -1}, "sequenceNumber"),
    ],
)
def test_an_impossible_change_is_refused(cdc_event, arguments, given, why):
    with pytest.raises(ValueError) as refused:
        cdc_event(*arguments, **given)

    assert why in str(refused.value)
    assert not AuditLogEntry.objects.exists()


def test_the_same_change_cannot_be_made_twice(cdc_event):
    same = {"record_id": "0015g00000AbCdEAAV", "transactionKey": "a-1"}
    cdc_event("Account", **same)

    with pytest.raises(ValueError, match="give it another sequenceNumber"):
        cdc_event("Account", **same)
