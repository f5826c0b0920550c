"""The search for gap events, overflows and wildcards."""

import pytest

from mirror.apply import gap_scan, upkeep
from mirror.models import DirtyRow, Mirror, MirrorRun
from tests.mirror.apply.changing import ACME, START, a_mirror, event, record

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
def test_a_gap_event_makes_its_record_dirty_with_any_gap_policy(listener, mirror, kind):
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
