"""The records of gap events are read over REST, and their handlers get the values that were
read."""

import json
import time

import pytest
from django.core.management import call_command

from audit.models import DirtyRecord, Incident
from consumer.gaps.complete import complete
from handlers.models import HandlerMapping
from tests.consumer.gapped import composites, deliveries, entries, unseen_create
from tests.consumer.hearing import begin_now, hear
from tests.sample_data import make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_the_record_is_read_and_recorded_and_delivered(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone=None, Website="acme.example")
    hear(org, heard)

    assert complete(heard.pk) == 1

    gap, read = entries()
    assert (read.change_type, read.source) == ("UPDATE", "gap")
    assert read.transaction_key == gap.transaction_key
    assert (read.replay_id, read.commit_timestamp) == (gap.replay_id, gap.commit_timestamp)
    assert (read.changed_data["Website"], read.changed_data["Phone"]) == ("acme.example", None)
    assert "Id" not in read.changed_data
    assert read.changed_fields is None
    assert read.as_of <= gap.commit_timestamp < read.as_of + 1000
    assert time.time() - 60 < read.read_at / 1000 < time.time()
    [delivery] = deliveries()
    assert (delivery.entry, delivery.state, delivery.error) == (read, "queued", "")
    assert not DirtyRecord.objects.exists()


def test_what_was_read_without_a_time_is_as_new_as_its_gap_event(org, heard, account, monkeypatch):
    """It must not be newer, or changes that come later would count as old."""
    monkeypatch.setattr("consumer.gaps.complete.last_modified_ms", lambda record: None)
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)

    complete(heard.pk)

    gap, read = entries()
    assert read.as_of == gap.commit_timestamp


def test_an_incident_says_what_is_done_and_closes_with_the_evidence(org, heard, account):
    [other] = org.create("Account", Name="Globex")
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Account", [account, other])
    hear(org, heard)
    incident = Incident.objects.get()
    assert incident.action == "Changes whose records are being read from Salesforce: 2."
    assert incident.is_open

    complete(heard.pk)

    incident.refresh_from_db()
    assert not incident.is_open
    assert incident.note == "2 of 2 changes were completed from Salesforce; none is missing."
    assert (incident.action, incident.closed_by) == ("", "")


def test_each_kind_of_gap_event_is_the_change_that_it_stands_for(org, heard, account):
    [to_delete, to_restore] = org.create("Account", {"Name": "Old"}, {"Name": "Back"})
    org.delete("Account", to_restore)
    begin_now(org, heard)
    unseen_create(org, Name="New", Phone=None)
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="5")
    org.gap("GAP_DELETE", "Account", to_delete, apply=True)
    org.gap("GAP_UNDELETE", "Account", to_restore, apply=True)
    hear(org, heard)

    assert complete(heard.pk) == 4

    read = {entry.change_type: entry for entry in entries(source="gap")}
    assert list(read) == ["CREATE", "UPDATE", "DELETE", "UNDELETE"]
    assert read["CREATE"].changed_data["Name"] == "New"
    assert "Phone" not in read["CREATE"].changed_data
    assert read["DELETE"].changed_data == {}
    assert read["DELETE"].as_of is None
    assert read["UNDELETE"].changed_data["Name"] == "Back"
    assert {one.entry.change_type for one in deliveries(state="queued")} == set(read)


def test_many_are_read_with_one_request(org, heard):
    ids = org.create("Contact", *[{"Name": {"LastName": f"Ito {n}"}} for n in range(250)])
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Contact", ids)
    hear(org, heard)

    assert complete(heard.pk) == 250

    assert len(composites(org)) == 1
    assert len(deliveries(state="queued")) == 250
    assert {one.changed_data["Name"]["LastName"] for one in entries(source="gap")} == {
        f"Ito {n}" for n in range(250)
    }


def test_a_mapping_judges_what_was_read(org, heard, account):
    HandlerMapping.objects.all().delete()
    met = {"field": "Phone", "equals": "2"}
    wanted = make_mapping(heard, "update", condition=met, changed_fields=["Website"])
    unmet = make_mapping(heard, "update", "tests.skip", condition={**met, "equals": "1"})
    unheard = make_mapping(heard, "update", "tests.fail")
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="2")
    hear(org, heard)
    HandlerMapping.objects.filter(pk=unheard.pk).delete()

    complete(heard.pk)

    by_mapping = {one.mapping_id: one for one in deliveries()}
    assert by_mapping[wanted.pk].state == "queued"
    assert by_mapping[unmet.pk].state == "skipped"
    assert "does not match its mapping" in by_mapping[unmet.pk].error
    assert by_mapping[unheard.pk].error == "its handler mapping was deleted"


def test_an_entry_that_was_completed_is_exported_with_its_source(org, heard, account, capsys):

    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    complete(heard.pk)

    call_command("export_audit_log")

    gap, read = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (gap["source"], gap["change_type"], gap["deliveries"]) == ("stream", "GAP_UPDATE", [])
    assert (read["source"], read["change_type"]) == ("gap", "UPDATE")
    assert read["replay_id"] == gap["replay_id"]
    assert [one["state"] for one in read["deliveries"]] == ["queued"]
