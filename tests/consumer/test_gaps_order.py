"""A gap event's delivery waits for its record to be read, in order with the record's other
changes."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, DirtyRecord, Incident
from consumer import relay
from consumer.gaps.complete import complete
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from tests.consumer.gapped import composites, deliveries, unseen_create
from tests.consumer.hearing import begin_now, hear

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_until_the_record_is_read_its_delivery_waits_and_what_follows_behind_it(
    org, heard, account
):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="2")
    org.update("Account", account, Phone="3")

    result = hear(org, heard)

    waiting, behind = deliveries()
    assert (waiting.state, waiting.awaits_record) == ("blocked", True)
    assert waiting.error == "waits until its record is read from Salesforce"
    assert (behind.state, behind.chain) == ("blocked", waiting.chain)
    assert (result.to_publish.ids, result.reads_planned) == ([], True)
    assert DirtyRecord.objects.get().entry_id == waiting.entry_id


def test_nothing_but_the_reading_lets_it_go(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account)
    org.update("Account", account, Phone="3")
    hear(org, heard)
    [waiting, _] = deliveries()
    later = timezone.now() + timedelta(hours=1)

    relay.publish_due(later)
    relay.promote_stranded()
    Delivery.objects.promote([waiting.chain])
    publish.publish([waiting.pk], later)

    assert [one.state for one in deliveries()] == ["blocked", "blocked"]


def test_what_was_before_it_in_its_chain_is_not_held_up_by_it(org, heard, account):
    for phone in "12":
        org.update("Account", account, Phone=phone + phone)
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    Delivery.objects.filter(state="queued").update(state="succeeded")

    assert relay.promote_stranded() == 1

    assert [one.state for one in deliveries()] == ["succeeded", "ready", "blocked"]


def end(delivery: Delivery) -> None:
    """End the delivery as a successful worker does."""
    Delivery.objects.filter(pk=delivery.pk).update(state="succeeded")
    following = Delivery.objects.promote([delivery.chain])
    assert all(follower.id > delivery.pk for follower in following)


def test_a_record_that_is_gone_is_skipped_and_its_delete_follows(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account)
    org.delete("Account", account)
    hear(org, heard)

    complete(heard.pk)

    gone, deleted = deliveries()
    assert (gone.state, gone.error) == (
        "skipped",
        "the record was deleted before it could be read",
    )
    assert (deleted.entry.change_type, deleted.state) == ("DELETE", "queued")
    assert "deleted before they could be read" in Incident.objects.get().note


def test_a_record_that_salesforce_does_not_show_is_not_taken_for_deleted(org, heard, account):
    """The user may have no access to it: a query for records that are gone has the same answer."""
    [shown] = org.create("Account", Name="Globex")
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Account", [account, shown])
    org.hard_delete("Account", account)
    hear(org, heard)

    complete(heard.pk)

    assert not AuditLogEntry.objects.filter(change_type="DELETE", source="gap").exists()
    skipped, read = deliveries(entry__change_type__in=["GAP_UPDATE", "UPDATE"])
    assert (skipped.state, read.state) == ("skipped", "queued")
    assert "the login's user may not see it" in skipped.error
    incident = Incident.objects.get()
    assert incident.is_open
    assert f"Not proven: Salesforce does not show {account}." in incident.note


def test_a_later_change_that_is_in_what_was_read_is_skipped(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account)
    org.update("Account", account, Phone="2")
    org.advance(20)  # longer than a busy machine takes to read
    org.update("Account", account, Phone="3")
    hear(org, heard)

    complete(heard.pk)

    read, old, newest = deliveries()
    assert read.entry.changed_data["Phone"] == "3"
    assert (old.state, old.finished_at is not None) == ("skipped", True)
    assert old.error == f"not newer than the record as read from Salesforce (entry {read.entry_id})"
    # It is in the second of the record's last change, and the org's clock is ahead: undecidable.
    assert (read.state, newest.state) == ("queued", "blocked")
    end(read)
    newest.refresh_from_db()
    assert newest.state == "ready"


def test_a_change_in_a_reading_that_was_skipped_is_delivered(org, heard, account):
    HandlerMapping.objects.update(condition={"field": "Phone", "equals": "2"})
    org.gap("GAP_UPDATE", "Account", account)
    org.update("Account", account, Phone="2")
    org.advance(5)
    org.update("Account", account, Phone="3")
    hear(org, heard)

    complete(heard.pk)

    read, wanted = deliveries()
    assert (read.state, wanted.state) == ("skipped", "queued")


def test_a_change_from_after_the_reading_is_delivered_after_it(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="2")
    hear(org, heard)
    complete(heard.pk)
    org.advance(5)

    org.update("Account", account, Phone="3")
    hear(org, heard)

    read, newer = deliveries()
    assert (read.state, newer.state) == ("queued", "blocked")
    assert newer.chain == read.chain


def test_two_gaps_of_one_record_are_read_once_and_stay_in_order(org, heard):
    created = unseen_create(org, Name="New")
    org.gap("GAP_UPDATE", "Account", created, apply=True, Phone="2")
    hear(org, heard)

    complete(heard.pk)

    first, second = deliveries()
    assert [one.entry.change_type for one in (first, second)] == ["CREATE", "UPDATE"]
    assert (first.state, second.state) == ("queued", "blocked")
    assert len(composites(org)) == 1


def test_an_unordered_mapping_waits_for_the_record_and_for_nothing_else(org, heard, account):
    HandlerMapping.objects.update(ordering="unordered")
    org.gap("GAP_UPDATE", "Account", account)
    org.update("Account", account, Phone="2")

    result = hear(org, heard)

    waiting, free = deliveries()
    assert (waiting.state, waiting.chain, result.to_publish.ids) == ("blocked", "", [free.pk])
    complete(heard.pk)
    waiting.refresh_from_db()
    assert waiting.state == "queued"
