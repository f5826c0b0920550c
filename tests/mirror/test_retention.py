"""Old runs and differences are deleted with the audit log; those that are needed stay."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Incident, Trouble
from consumer import retention
from mirror.load import lost_time
from mirror.models import Difference, MirrorRun
from mirror.status import status_of
from mirror.sweeps import request_sweep, uncovered
from tests.mirror.adding import add, in_sync

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
NOW = timezone.now().replace(microsecond=0)
OLD = NOW - timedelta(days=40)


@pytest.fixture
def mirror(listener):
    mirror = in_sync(add(listener))
    mirror.in_sync_since = mirror.load_started_at = OLD - timedelta(days=1)
    mirror.save()
    mirror.runs.update(started_at=mirror.in_sync_since, finished_at=mirror.in_sync_since)
    return mirror


def ended(mirror, kind, state="done", at=OLD, **options):
    times = {"created_at": at, "started_at": at, "finished_at": at}
    return mirror.runs.create(kind=kind, state=state, options=options, **times)


def difference(run, **fields):
    given = {"record_id": "001000000000001AAA", "reason": "unexplained", "found_at": OLD}
    return run.differences.create(mirror=run.mirror, **given | fields)


def prune():
    return retention.prune(30, NOW).rows


def left():
    return set(MirrorRun.objects.exclude(kind="load").values_list("pk", flat=True))


def test_repaired_differences_and_then_their_runs_are_deleted(mirror):
    first = ended(mirror, "verify", depth="full")
    difference(first, repaired_at=OLD)
    last = ended(mirror, "verify", depth="full")

    assert prune()["differences"] == 1
    assert left() == {last.pk}
    assert not Difference.objects.exists()


def test_an_open_difference_stays_with_its_run(mirror):
    first = ended(mirror, "verify", depth="full")
    open_one = difference(first)
    young = difference(first, repaired_at=NOW)
    last = ended(mirror, "verify", depth="full")

    assert not prune()["differences"]
    assert left() == {first.pk, last.pk}
    assert {*Difference.objects.all()} == {open_one, young}


def test_runs_that_a_later_one_of_their_kind_replaces_are_deleted(mirror):
    for kind in ("formulas", "sweep", "repair"):
        ended(mirror, kind)
        ended(mirror, kind, "failed")
    last = [ended(mirror, kind) for kind in ("formulas", "sweep", "repair")]
    young = ended(mirror, "formulas", at=NOW)

    assert prune()["mirror_runs"] == 7, "the last refresh of formulas has a later one too"
    assert left() == {last[1].pk, last[2].pk, young.pk}


def test_a_run_without_success_stays_while_it_needs_an_operator(mirror):
    sweep = request_sweep(mirror, OLD, OLD, "an overflow")
    mirror.runs.filter(pk=sweep.pk).update(state="failed", error="refused", finished_at=OLD)
    ended(mirror, "verify", depth="full")

    prune()

    assert sweep.pk in left()
    assert [*uncovered(mirror)] == [OLD]
    assert status_of(mirror, NOW).state == "attention"


def test_the_run_that_made_up_for_another_does_not_go_first(mirror):
    ended(mirror, "sweep", "failed", since=OLD.isoformat())
    ended(mirror, "load", at=OLD + timedelta(hours=1))
    ended(mirror, "verify", "cancelled", depth="ids", since=OLD.isoformat())
    covering = ended(mirror, "verify", at=OLD + timedelta(hours=1), depth="ids")
    counts = ended(mirror, "verify", at=NOW - timedelta(days=31), depth="counts")

    prune()

    assert {covering.pk, counts.pk} <= left()
    assert [*uncovered(mirror)] == []
    assert status_of(mirror, NOW).state != "attention"


def test_a_loss_is_not_swept_again_once_its_sweep_is_old(mirror):
    trouble = Trouble(Incident.Kind.REPLAY_LOST, "", "lost", "", OLD - timedelta(hours=5), OLD)
    Incident.objects.report(mirror.listener_id, trouble, OLD)
    [loss] = lost_time.unrequested(mirror)
    sweep = ended(mirror, "sweep", since=OLD.isoformat(), losses=[loss.key])
    other = ended(mirror, "sweep", since=OLD.isoformat(), losses=["quarantine 3"])
    last = ended(mirror, "sweep", since=OLD.isoformat(), losses=[])

    prune()

    assert left() == {sweep.pk, last.pk}
    assert other.pk not in left()
    assert lost_time.unrequested(mirror) == []

    Incident.objects.update(closed_at=OLD)
    prune()
    prune()
    assert left() == {last.pk}
