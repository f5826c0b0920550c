"""Dirty records, read from the simulator's org."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db.models import F
from django.utils import timezone

from handlers.models import Delivery
from listeners import crash_points
from listeners.salesforce.rest.client import RestClient
from mirror import budget
from mirror.apply import dirty, reader, upkeep
from mirror.models import DirtyRow, Mirror
from tests.mirror.adding import in_sync
from tests.mirror.apply.changing import START, event, record, run_all
from tests.mirror.apply.refusing import refusing
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import mirror_of
from tests.sample_data import make_mapping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

#: Milliseconds after START: a time that no read has reached.
LATER = 10**12


@pytest.fixture
def org(simulator):
    return simulator


@pytest.fixture
def mirror(org):
    mirror = in_sync(mirror_of(org))
    mirror.described = {}
    mirror.save()
    return mirror


def now_ms():
    return round(time.time() * 1000)


def mark(mirror, *ids, since=None, reason="gap"):
    dirty.mark(mirror, dict.fromkeys(ids, now_ms() if since is None else since), reason)
    make_due()


def pass_by(seconds):
    """Date the dirty marks and the rows back by `seconds`."""
    DirtyRow.objects.update(since=F("since") - seconds * 1000)
    for row in Account.all_objects.all():
        row.synced_at -= timedelta(seconds=seconds)
        row.save()


def make_due():
    DirtyRow.objects.update(due_at=timezone.now() - timedelta(seconds=1), claimed_until=None)


def read(mirror):
    """Read a page as a worker does when the records are due."""
    make_due()
    return reader.read_page(mirror, reader.client_of(mirror))


def test_a_dirty_record_is_read_and_not_dirty_any_more(org, mirror):
    [acme, other] = org.create("Account", {"Name": "Acme", "Phone": "1"}, {"Name": "Other"})
    mark(mirror, acme, other)
    pass_by(10)

    assert read(mirror) == 2

    row = Account.objects.get(pk=acme)
    assert (row.name, row.phone, row.is_complete) == ("Acme", "1", True)
    assert row.version is not None
    assert Account.objects.count() == 2
    assert not DirtyRow.objects.exists()


def test_a_field_that_was_added_since_the_last_read_is_read(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme)
    read(mirror)
    org.entity("Account", fields={"Tier__c": "string"})
    org.update("Account", acme, Tier__c="Gold")
    mark(mirror, acme, reason=DirtyRow.Reason.FIELD)
    pass_by(10)

    read(mirror)

    assert Account.objects.get().raw["Tier__c"] == "Gold"


def test_a_read_that_began_too_early_does_not_end_the_mark(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme, since=now_ms() + 600_000)
    before = timezone.now()

    read(mirror)

    assert Account.objects.get().name == "Acme", "what was read is written all the same"
    left = DirtyRow.objects.get()
    assert (left.attempts, left.claimed_until, left.error) == (0, None, "")
    assert left.due_at > before + dirty.DELAY / 2, "a sooner read is as undecided"
    pass_by(610)
    read(mirror)
    assert not DirtyRow.objects.exists()


@pytest.mark.parametrize(("after", "left"), [(dirty.MARGIN_MS, 1), (dirty.MARGIN_MS + 1, 0)])
def test_a_read_ends_marks_from_longer_before_it_than_clocks_may_differ(
    org, mirror, monkeypatch, after, left
):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme, since=START)
    read_many = RestClient.read_many

    def read_many_then(*args):
        return replace(read_many(*args), read_at=START + after)

    monkeypatch.setattr(RestClient, "read_many", read_many_then)

    read(mirror)

    assert DirtyRow.objects.count() == left


def test_a_record_that_changed_while_it_was_read_stays_dirty(org, mirror, monkeypatch):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme)
    pass_by(10)
    later = now_ms() + 9_000

    def change_it(name):
        if name == "read":
            dirty.mark(mirror, {acme: later}, "gap")

    monkeypatch.setattr(crash_points, "reach", change_it)
    read(mirror)
    monkeypatch.undo()

    assert DirtyRow.objects.get().since == later
    assert now_ms() - 8_000 < DirtyRow.objects.get().complete_until < later, "what was read counts"
    pass_by(30)
    read(mirror)
    assert not DirtyRow.objects.exists()


def test_handlers_of_changes_that_were_read_start_although_the_record_changed_again(
    org, mirror, monkeypatch
):
    [acme] = org.create("Account", Name="Acme")
    mapping = make_mapping(mirror.listener, "update", "tests.note_record", after="mirror")
    mark(mirror, acme, since=START)
    record(mirror.listener, event("UPDATE", 0, [acme]), event("UPDATE", LATER, [acme]))
    run_all()
    waiting = Delivery.objects.filter(mapping=mapping, awaits_mirror=True)
    assert waiting.count() == 2

    def change_it(name):
        if name == "read":
            dirty.mark(mirror, {acme: START + LATER}, "partial")

    monkeypatch.setattr(crash_points, "reach", change_it)
    read(mirror)

    assert DirtyRow.objects.exists()
    assert [one.entry.commit_timestamp for one in waiting] == [START + LATER]


def test_several_pages_ask_once_for_the_fields(org, mirror, monkeypatch):
    monkeypatch.setattr(reader, "MAX_IDS", 1)
    mark(mirror, *org.create("Account", {"Name": "A"}, {"Name": "B"}, {"Name": "C"}))
    pass_by(10)
    before = len(org.api_requests())

    upkeep.work(mirror.pk)

    assert not DirtyRow.objects.exists()
    assert len(org.api_requests()) - before == 4


def test_records_are_not_read_when_the_daily_calls_are_nearly_used_up(org, mirror, monkeypatch):
    ids = org.create("Account", {"Name": "A"}, {"Name": "B"})
    monkeypatch.setattr(reader, "MAX_IDS", 1)
    monkeypatch.setattr(budget, "PAUSE_FROM", 0.0)
    mark(mirror, *ids)
    pass_by(10)
    try:
        upkeep.work(mirror.pk)
        [left] = DirtyRow.objects.all()
        assert left.due_at > timezone.now() + timedelta(minutes=14)
        assert "the org's daily API calls" in left.error

        make_due()
        before = len(org.api_requests())
        upkeep.work(mirror.pk)
        assert len(org.api_requests()) == before, "another task knows it too"
    finally:
        cache.clear()


def test_a_record_that_does_not_exist_becomes_a_tombstone(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme)
    pass_by(10)
    read(mirror)
    org.delete("Account", acme)
    mark(mirror, acme)
    pass_by(20)

    read(mirror)

    row = Account.all_objects.get()
    assert (row.is_deleted, row.name) == (True, "Acme")
    assert not DirtyRow.objects.exists()


def test_a_record_that_salesforce_refuses_holds_up_no_other(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme, "001-no-id")
    pass_by(30)  # read one by one, by this machine's clock

    read(mirror)

    left = DirtyRow.objects.get()
    assert (left.record_id, left.attempts) == ("001-no-id", 1)
    assert "MALFORMED_ID" in left.error
    assert left.due_at > timezone.now()
    assert Account.objects.get().name == "Acme"


def test_an_org_that_does_not_answer_is_asked_later(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme)
    pass_by(10)
    org.fault("http_status", target="rest", status=503, times=None)

    assert read(mirror) == 0

    org.clear_faults()
    left = DirtyRow.objects.get()
    assert (left.attempts, left.claimed_until) == (0, None)
    assert "503" in left.error
    assert left.due_at > timezone.now()
    read(mirror)
    assert not DirtyRow.objects.exists()


def test_a_row_that_the_database_refuses_is_named_and_holds_up_no_other(org, mirror):
    first, second = org.create("Account", {"Name": "Acme"}, {"Name": "Forbidden"})
    mark(mirror, first, second)
    pass_by(10)
    with refusing("Forbidden"):
        read(mirror)

    assert Account.objects.get().name == "Acme"
    left = DirtyRow.objects.get()
    assert (left.record_id, left.attempts) == (second, 1)
    assert left.error


def test_the_relay_starts_the_upkeep_once(org, mirror):
    [acme] = org.create("Account", Name="Acme")
    mark(mirror, acme)
    pass_by(10)
    now = timezone.now()

    assert upkeep.start_due(now) == 1
    assert upkeep.start_due(now) == 0, "a message is under way"
    assert upkeep.start_due(now + timedelta(minutes=2)) == 1, "it was lost"

    upkeep.work(mirror.pk)
    assert not DirtyRow.objects.exists()
    assert Mirror.objects.get().upkeep_until is None
    assert upkeep.start_due(timezone.now()) == 0


def test_tombstones_of_hard_deletes_go_after_the_retention_window(org, mirror):
    now = timezone.now()
    old, new = now - timedelta(hours=73), now - timedelta(hours=71)
    deleted = {"is_deleted": True, "synced_at": old}
    Account.all_objects.create(pk="001000000000001AAA", **deleted)
    Account.all_objects.create(pk="001000000000002AAA", is_deleted=True, synced_at=new)
    Account.all_objects.create(pk="001000000000003AAA", synced_at=old)
    Account.all_objects.create(pk="001000000000004AAA", **deleted)
    mark(mirror, "001000000000004AAA")

    assert upkeep.start_purges(now) == 0, "deletes are soft"
    Mirror.objects.update(deletes="hard")
    assert upkeep.purge(mirror, now) == 1
    assert not Account.all_objects.filter(pk="001000000000001AAA").exists()
    assert Account.all_objects.count() == 3
