"""The search for gap events, overflows and wildcards."""

import pytest

from listeners.salesforce.errors import TransportFailed
from mirror.apply import dirty as dirty_rows
from mirror.apply import gap_scan, upkeep
from mirror.models import DirtyRow, Mirror, MirrorRun
from tests.mirror.apply.changing import ACME, START, a_mirror, event, record
from tests.mirror.crm.models import Account
from tests.sample_data import listener_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def mirror(listener):
    listener.gap_policy = "record"
    listener.save()
    return a_mirror(listener)


def scan(mirror):
    gap_scan.scan(Mirror.objects.get(pk=mirror.pk))


def dirty():
    return {row.record_id: (row.reason, row.since - START) for row in DirtyRow.objects.all()}


def sweeps():
    return MirrorRun.objects.filter(kind="sweep")


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_event_makes_its_record_dirty_whatever_the_gap_policy(listener, mirror, kind):
    record(listener, event(kind, 500))
    scan(mirror)
    assert dirty() == {ACME: ("gap", 500)}
    DirtyRow.objects.all().delete()
    scan(mirror)
    assert not dirty(), "it was searched before"


@pytest.mark.parametrize(
    ("kind", "ids", "reason", "since"),
    [
        ("GAP_OVERFLOW", ["000000000000000AAA"], "an overflow", "2026-09-21T"),
        # All records: a conversion of a field's type need not change their modification times.
        ("UPDATE", ["001*"], "a change to every record", "1969-12-31T"),
        ("SOMETHING_NEW", [ACME], "a change of the unknown type SOMETHING_NEW", "2026-09-21T"),
    ],
)
def test_changes_without_records_request_a_sweep(listener, mirror, kind, ids, reason, since):
    record(listener, event(kind, 500, ids))
    scan(mirror)
    [run] = sweeps()
    assert run.options["reasons"] == [reason]
    assert run.options["since"].startswith(since)
    assert not dirty()


def test_changes_with_data_need_no_worker(listener, mirror):
    record(listener, event("CREATE"), event(at=10, Phone="1"), event("DELETE", 20))
    assert upkeep.start_due(mirror.created_at) == 0
    last = Mirror.objects.get().scanned_entry_id
    assert last == gap_scan.last_entry_ids([listener.pk])[listener.pk]


def test_a_gap_starts_the_upkeep(listener, mirror):
    record(listener, event("GAP_UPDATE"))
    assert upkeep.start_due(mirror.created_at) == 1


def test_gaps_of_other_objects_are_left_alone(listener, mirror):
    record(listener, event("GAP_UPDATE", entity="Contact"))
    scan(mirror)
    assert not dirty()


def test_records_are_read_although_the_search_is_refused(simulator, monkeypatch):
    [acme] = simulator.create("Account", {"Name": "Acme"})
    listener = listener_of(simulator)
    mirror = a_mirror(listener)
    dirty_rows.mark(mirror, {acme: START - 3_600_000}, "gap")
    DirtyRow.objects.update(due_at=mirror.created_at)

    def refuse(_mirror):
        raise TransportFailed("no answer")

    monkeypatch.setattr(gap_scan, "scan", refuse)
    upkeep.work(mirror.pk)

    assert not DirtyRow.objects.exists()
    assert Account.objects.get().name == "Acme"
    assert Mirror.objects.get().upkeep_until is not None, "it is tried again"
