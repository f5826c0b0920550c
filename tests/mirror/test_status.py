from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from consumer.status.mirror_table import table
from handlers.models import Delivery
from listeners.models import Position
from mirror.apply import dirty
from mirror.models import Difference, DirtyRow
from mirror.status import in_attention, status_of
from mirror.sweeps import request_sweep
from tests.mirror.adding import add, in_sync, logged
from tests.mirror.crm.models import Account

pytestmark = pytest.mark.slow

NOW = timezone.now()
EARLIER = datetime(2026, 1, 31, 12, 4, 31, tzinfo=UTC)


@pytest.fixture
def mirror(listener):
    """A mirror in sync, whose listener caught up at NOW."""
    mirror = in_sync(add(listener))
    mirror.runs.update(finished_at=NOW)
    Position.objects.filter(pk=listener.pk).update(caught_up_at=NOW)
    mirror.in_sync_since = EARLIER - timedelta(days=1)
    mirror.save()
    return mirror


def status(mirror):
    return status_of(mirror, NOW)


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def delivery(mirror, state) -> Delivery:
    mapping = mirror.listener.mappings.get(managed=True, on="update")
    more = {"claim_deadline": NOW} if state == "running" else {}
    more |= {"due_at": NOW} if state == "retrying" else {}
    return Delivery.objects.create(
        entry=logged(mirror, EARLIER),
        mapping=mapping,
        handler="mirror.apply",
        state=state,
        created_at=NOW,
        **more,
    )


def test_it_is_in_sync_as_of_the_time_at_which_the_listener_had_caught_up(mirror):
    Account.all_objects.create(salesforce_id="001000000000001AAA")
    Account.all_objects.create(salesforce_id="001000000000002AAA", is_deleted=True)

    found = status(mirror)

    assert found.state == "in_sync"
    assert found.rows == 1
    assert NOW - timedelta(seconds=5) < found.in_sync_as_of < NOW


@pytest.mark.parametrize("state", ["blocked", "ready", "queued", "running", "retrying", "dead"])
def test_a_change_that_is_not_applied_ends_what_is_proven(mirror, state):
    delivery(mirror, state)

    assert status(mirror).in_sync_as_of == EARLIER - timedelta(milliseconds=1)


def test_an_applied_change_does_not(mirror):
    delivery(mirror, "succeeded")

    assert status(mirror).in_sync_as_of > EARLIER


def test_a_record_to_be_read_ends_what_is_proven(mirror):
    dirty.mark_all(mirror, [dirty.Mark("001", milliseconds(NOW), milliseconds(EARLIER), "gap")])

    assert status(mirror).in_sync_as_of == EARLIER - timedelta(milliseconds=1)


def test_a_record_that_changes_again_before_it_is_read_proves_nothing_more(mirror):
    dirty.mark(mirror, {"001": milliseconds(EARLIER)}, "gap")
    dirty.mark(mirror, {"001": milliseconds(NOW)}, "gap")

    assert status(mirror).in_sync_as_of < EARLIER
    assert DirtyRow.objects.get().since == milliseconds(NOW)


def test_a_gap_that_was_not_scanned_ends_what_is_proven(mirror):
    gap = logged(mirror, EARLIER, "GAP_UPDATE")
    assert status(mirror).in_sync_as_of == EARLIER - timedelta(milliseconds=1)

    mirror.scanned_entry_id = gap.pk
    assert status(mirror).in_sync_as_of > EARLIER


def test_lost_time_that_is_swept_ends_what_is_proven(mirror):
    sweep = request_sweep(mirror, EARLIER, NOW, "an outage")
    assert status(mirror).in_sync_as_of == EARLIER - timedelta(milliseconds=1)

    sweep.state = "done"
    sweep.save()
    assert status(mirror).in_sync_as_of > EARLIER


@pytest.mark.parametrize("phase", ["new", "loading", "catching_up"])
def test_nothing_is_proven_before_the_hand_over(mirror, phase):
    mirror.phase = phase
    mirror.runs.update(state="waiting", finished_at=None)

    found = status(mirror)

    assert (found.state, found.in_sync_as_of) == (phase, None)


def difference(mirror, reason, **fields):
    return Difference.objects.create(
        mirror=mirror,
        run=mirror.runs.first(),
        record_id="001000000000001AAA",
        field="Phone",
        reason=reason,
        found_at=NOW,
        **fields,
    )


def test_an_unexplained_difference_needs_attention_until_it_is_repaired(mirror):
    found = difference(mirror, "unexplained")
    shown = status(mirror)
    assert (shown.state, shown.differences, shown.in_sync_as_of) == ("attention", 1, None)
    assert shown.words == "needs attention: 1 unexplained difference from Salesforce"

    found.repaired_at = NOW
    found.save()

    shown = status(mirror)
    assert (shown.state, shown.differences) == ("in_sync", 0)


def test_a_formula_that_changed_silently_is_counted_and_opens_no_incident(mirror):
    difference(mirror, "formula")

    shown = status(mirror)

    assert (shown.state, shown.differences) == ("in_sync", 1)
    assert shown.in_sync_as_of is not None


def test_a_problem_and_a_failed_run_need_attention(mirror):
    mirror.runs.update(state="failed", error="Bulk API is switched off.")
    assert status(mirror).reason == "Load failed: Bulk API is switched off."

    mirror.problem = "The table is gone."
    assert (status(mirror).state, status(mirror).reason) == ("attention", "The table is gone.")


def ended(mirror, kind, state, minutes=0, **fields):
    at = NOW + timedelta(minutes=minutes)
    return mirror.runs.create(kind=kind, state=state, created_at=at, finished_at=at, **fields)


@pytest.mark.parametrize("kind", ["verify", "sweep", "formulas"])
def test_a_failed_load_is_a_problem_until_a_later_load_succeeds(mirror, kind):
    ended(mirror, "load", "failed", 1, error="Salesforce lists 3 of 5 records.")
    ended(mirror, kind, "done", 2)
    ended(mirror, "load", "cancelled", 3)

    shown = status(mirror)
    assert (shown.state, shown.reason) == (
        "attention", "Load failed: Salesforce lists 3 of 5 records.",
    )  # fmt: skip
    assert in_attention() == [(mirror, shown.reason)]

    ended(mirror, "load", "done", 4)
    assert (status(mirror).state, in_attention()) == ("in_sync", [])


@pytest.mark.parametrize(
    ("failed", "mending"),
    [("sweep", "sweep"), ("verify", "verify"), ("repair", "verify"), ("sweep", "load")],
)
def test_a_failed_run_is_a_problem_until_one_did_its_work(mirror, failed, mending):
    ended(mirror, failed, "failed", 1, error="no")
    ended(mirror, "formulas", "done", 2)
    assert status(mirror).state == "attention"

    ended(mirror, mending, "done", 3)
    assert status(mirror).state == "in_sync"


def test_the_failed_load_is_named_before_other_failures(mirror):
    ended(mirror, "load", "failed", 1, error="a load")
    ended(mirror, "verify", "failed", 2, error="a verification")

    assert status(mirror).reason == "Load failed: a load"


def test_a_load_shows_its_pace_in_one_line(mirror):
    mirror.phase = "loading"
    mirror.save()
    mirror.runs.update(
        state="running",
        started_at=NOW - timedelta(seconds=100),
        finished_at=None,
        done=4_300,
        total=10_000,
    )

    found = status(mirror)

    assert found.words == "loading 43 %, 43 rows/s, 2 min left"
    assert found.to_dict()["progress"]["percent"] == 43
    header, line, *_ = table([found])
    assert header.startswith("MODEL")
    assert line.startswith("crm.Account  Account")


def test_the_values_are_those_of_the_contract(mirror):
    assert list(status(mirror).to_dict()) == [
        "model",
        "object",
        "state",
        "rows",
        "rows_in_salesforce",
        "in_sync_as_of",
        "last_verified_at",
        "differences",
        "progress",
    ]
