"""Handlers get the lists of cleared and diffed fields, on either transport."""

import pytest

from audit.models import AuditLogEntry
from consumer.ingest.transaction import ingest
from handlers.sdk.events import EventData
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.django_db(transaction=True)
DIFF = {"diff": "--- 6f1\n+++ 9a2\n@@ -1,1 +1,1 @@\n-old\n+new"}
BODY = {"Phone": None, "Name": {"FirstName": None, "LastName": "Ito"}, "Description": DIFF}


def recorded(listener, *messages):
    ingest(listener, lease_of(listener), received(*messages), [])
    return AuditLogEntry.objects.select_related("listener").order_by("-id")[0]


def lists_of(entry):
    metadata = EventData.of(entry).metadata
    return metadata.nulled_fields, metadata.diff_fields


def test_without_the_lists_cleared_and_diffed_fields_are_derived_from_the_body(listener):
    entry = recorded(listener, change("UPDATE", data=BODY))

    assert (entry.nulled_fields, entry.diff_fields) == (None, None)
    nulled, diffed = lists_of(entry)
    assert sorted(nulled) == ["Name.FirstName", "Phone"]  # jsonb keeps no order
    assert diffed == ("Description",)


def test_lists_that_were_sent_are_the_events(listener):
    sent = {"nulledFields": ["Phone"], "diffFields": []}

    assert lists_of(recorded(listener, change("UPDATE", data=BODY, **sent))) == (("Phone",), ())


@pytest.mark.parametrize("change_type", ["CREATE", "DELETE", "UNDELETE", "GAP_UPDATE"])
def test_they_are_empty_for_changes_that_are_no_updates(listener, change_type):
    assert lists_of(recorded(listener, change(change_type))) == ((), ())


def test_the_cleared_fields_of_a_read_record_are_unknown(listener):
    entry = recorded(listener, change("UPDATE", data={"Phone": None}))
    entry.source = AuditLogEntry.Source.GAP

    assert lists_of(entry) == (None, None)


def test_unknown_header_fields_are_kept(listener):
    later = {"isTransactionEnd": True, "later": {"depth": [1, 2**60, None]}, "empty": None}

    entry = recorded(listener, change("UPDATE", data={"Phone": "1"}, **later))

    kept = {"isTransactionEnd": True, "later": {"depth": [1, 2**60, None]}}
    event = EventData.of(entry)
    assert entry.header_extra == kept
    assert event.metadata.extra == kept
    assert event.to_dict()["metadata"]["extra"] == kept
    assert hash(event.metadata)


def test_they_are_no_part_of_a_changes_identity(listener):
    first = change("UPDATE", transaction="t-1", data={"Phone": "1"})
    again = change("UPDATE", transaction="t-1", data={"Phone": "1"}, isTransactionEnd=True)

    entry = recorded(listener, first, again)

    assert AuditLogEntry.objects.count() == 1
    assert entry.header_extra is None
    assert EventData.of(entry).metadata.extra == {}
