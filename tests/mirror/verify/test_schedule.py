"""Verifications and refreshes are requested when they are due, as deep as their schedule says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from mirror.models import Mirror, MirrorRun
from mirror.verify import schedule
from tests.mirror.adding import add, in_sync
from tests.sample_data import make_listener

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def mirror():
    with transaction.atomic():
        found = in_sync(add(make_listener()))
    Mirror.objects.update(described_at=found.in_sync_since)
    return found


def requested(at):
    """Return the depth or kind of each run that is requested at that time."""
    runs = MirrorRun.objects.filter(pk__in=schedule.request_due(at))
    return sorted(run.options.get("depth") or str(run.kind) for run in runs)


def verified(mirror, at):
    mirror.runs.filter(state="waiting").update(state="done", created_at=at)
    Mirror.objects.update(last_verified_at=at, described_at=at, formulas_refreshed_at=at)


@pytest.mark.parametrize(
    ("verify", "after", "depth"),
    [
        ("hourly", HOUR, "sample"),
        ("daily", DAY, "sample"),
        ("weekly", 7 * DAY, "full"),
    ],
)
def test_a_verification_is_due_once_its_time_has_passed(mirror, verify, after, depth):
    Mirror.objects.update(verify=verify)
    now = mirror.in_sync_since

    assert depth not in requested(now + after - timedelta(seconds=1))
    assert depth in requested(now + after)


def test_an_hourly_verification_counts_after_the_daily_sample(mirror):
    Mirror.objects.update(verify="hourly")
    now = mirror.in_sync_since + HOUR
    assert requested(now) == ["formulas", "sample"]
    verified(mirror, now)

    assert requested(now + HOUR) == ["counts", "formulas"]
    verified(mirror, now + HOUR)
    assert "sample" in requested(now + DAY + HOUR)


@pytest.mark.parametrize(
    "run",
    [
        {"state": "failed", "options": {"depth": "sample"}},
        {"state": "cancelled", "options": {"depth": "full"}},
        {"state": "done", "options": {"depth": "full", "fields": ["Name"]}},
    ],
)
def test_a_verification_that_did_not_sample_the_records_does_not_replace_the_daily_one(mirror, run):
    Mirror.objects.update(verify="hourly")
    now = mirror.in_sync_since + HOUR
    mirror.runs.create(kind="verify", created_at=now, **run)

    assert "sample" in requested(now + HOUR)


def test_nothing_is_requested_twice(mirror):
    now = mirror.in_sync_since + DAY
    assert requested(now)
    assert requested(now) == []


def test_a_mirror_that_is_verified_on_demand_only_is_still_refreshed(mirror):
    Mirror.objects.update(verify="never")
    assert requested(mirror.in_sync_since + 7 * DAY) == ["formulas"]


def test_a_mirror_that_is_not_loaded_has_nothing_due(mirror):
    Mirror.objects.update(phase="loading")
    assert requested(timezone.now() + 7 * DAY) == []


def test_a_verification_that_failed_waits_for_its_next_time(mirror):
    now = mirror.in_sync_since + DAY
    assert requested(now)
    mirror.runs.update(state="failed", created_at=now)

    assert "sample" not in requested(now + HOUR)
    assert "sample" in requested(now + DAY)


def test_formulas_are_refreshed_every_six_hours_and_the_description_is_read_each_hour(mirror):
    now = mirror.in_sync_since
    [run_id] = schedule.request_due(now + HOUR)
    assert MirrorRun.objects.get(pk=run_id).options == {"schema_only": True}
    mirror.runs.update(state="done")
    Mirror.objects.update(described_at=now + HOUR, verify="never")

    [run_id] = schedule.request_due(now + 6 * HOUR)
    assert MirrorRun.objects.get(pk=run_id).options == {}


def test_an_event_with_an_unknown_field_has_the_description_read_soon(mirror):
    now = mirror.in_sync_since
    mirror.dirty_rows.create(
        record_id="001000000000001AAA", since=0, complete_until=0, reason="field", due_at=now
    )

    assert requested(now + timedelta(minutes=1)) == []
    assert requested(now + timedelta(minutes=2)) == ["formulas"]


def test_another_verification_does_not_put_off_the_comparison_of_a_changed_field(mirror):
    changed = {"Name": {"was": "string", "is": "picklist", "at": "", "compared": False}}
    Mirror.objects.update(field_changes=changed)
    now = mirror.in_sync_since + HOUR / 2
    mirror.runs.create(kind="verify", state="done", options={"depth": "ids"}, created_at=now)

    [run_id] = schedule.request_due(now + timedelta(seconds=1))

    assert MirrorRun.objects.get(pk=run_id).options == {"depth": "full", "fields": ["Name"]}
    MirrorRun.objects.update(state="failed")
    assert requested(now + timedelta(minutes=2)) == []


def test_a_field_that_a_load_had_passed_by_is_loaded_by_another(mirror):
    now = mirror.in_sync_since
    load = mirror.runs.create(
        kind="load", state="waiting", created_at=now, started_at=now, cursor={"is_loaded": True}
    )
    at = (now + timedelta(seconds=1)).isoformat()
    added = {"Phone": {"was": "", "is": "phone", "at": at, "compared": False}}
    Mirror.objects.update(field_changes=added)
    assert requested(now + timedelta(seconds=2)) == []

    mirror.runs.filter(pk=load.pk).update(state="done")

    assert requested(now + timedelta(seconds=3)) == ["load"]
    mirror.runs.update(state="failed")
    assert requested(now + timedelta(seconds=4)) == [], "an operator has to see why it failed"
