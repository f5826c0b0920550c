"""Losses, failures and pending work limit the time as of which a mirror is proven in sync."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.jobs.claim import ClaimLost
from audit.models import Incident, Quarantined, Trouble
from consumer.listener_control import forget_position
from handlers.mappings import pause
from listeners.models import Listener, Position
from mirror import runs
from mirror.apply import merges
from mirror.load import lost_time
from mirror.models import Mirror, MirrorRun
from mirror.status import status_of
from mirror.sweeps import request_ids, request_sweep, uncovered
from tests.mirror.adding import add, in_sync, logged
from tests.sample_data import ANN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]
NOW = timezone.now().replace(microsecond=0)
EARLIER, LATER = NOW - timedelta(hours=5), NOW + timedelta(hours=1)


@pytest.fixture
def mirror(listener):
    mirror = in_sync(add(listener))
    mirror.in_sync_since = mirror.load_started_at = mirror.created_at = EARLIER - timedelta(days=1)
    mirror.save()
    live = {"state": "receiving", "lease_until": NOW + timedelta(days=1), "holder": "a test"}
    Position.objects.update_or_create(listener=listener, defaults={"caught_up_at": NOW, **live})
    return mirror


def as_of(mirror):
    return status_of(Mirror.objects.select_related("listener").get(pk=mirror.pk), NOW).in_sync_as_of


def lose_position(mirror):
    trouble = Trouble(Incident.Kind.REPLAY_LOST, "", "lost", "", EARLIER, NOW)
    Incident.objects.report(mirror.listener_id, trouble, NOW)


def quarantine(listener, at=EARLIER):
    unreadable = {"channel": "c", "raw": "?", "error": "?", "received_at": at}
    digest = str(Quarantined.objects.count())
    Quarantined.objects.create(listener=listener, digest=digest, **unreadable)


def end(mirror, state, kind="sweep"):
    mirror.runs.filter(kind=kind).update(
        state=state, error="refused", started_at=LATER, finished_at=LATER
    )


def test_a_refused_position_ends_it_before_the_sweep_is_requested(mirror):
    assert as_of(mirror) > EARLIER

    lose_position(mirror)

    assert as_of(mirror) < EARLIER


def test_a_forgotten_position_ends_it_until_what_was_lost_is_swept(listener, mirror):
    logged(mirror, EARLIER)
    Position.objects.update(replay_id="7", epoch=1, lease_until=None, holder="")
    forget_position(Listener.objects.get(pk=listener.pk), ANN, "", NOW)
    Position.objects.update(caught_up_at=NOW, state="receiving", lease_until=NOW + timedelta(1))
    assert as_of(mirror) < EARLIER

    assert lost_time.request_due(NOW) == 1
    assert lost_time.request_due(NOW) == 0
    assert mirror.runs.get(kind="sweep").options["since"] == EARLIER.isoformat()


def test_an_event_that_cannot_be_decoded_ends_it_until_its_record_is_swept(listener, mirror):
    quarantine(listener)
    quarantine(listener)

    assert as_of(mirror) < EARLIER
    assert lost_time.request_due(NOW) == 1
    assert lost_time.request_due(NOW) == 0
    quarantine(listener)
    assert lost_time.request_due(NOW) == 0, "each sweep costs requests"
    assert lost_time.request_due(NOW + timedelta(minutes=11)) == 1
    assert as_of(mirror) < EARLIER


def test_an_event_that_cannot_be_decoded_is_swept_once(listener, mirror):
    logged(mirror, EARLIER - timedelta(minutes=1))
    quarantine(listener)
    assert lost_time.request_due(NOW - timedelta(hours=4)) == 1
    end(mirror, "done")
    logged(mirror, NOW - timedelta(minutes=6), record_id="001000000000002AAA")
    quarantine(listener, NOW - timedelta(minutes=5))

    assert as_of(mirror) > NOW - timedelta(minutes=7)
    assert lost_time.request_due(NOW) == 1
    second = mirror.runs.filter(kind="sweep").latest("id")
    assert second.options["since"] == (NOW - timedelta(minutes=6)).isoformat()


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_sweep_without_success_ends_it_until_a_later_one_covers_its_window(mirror, state):
    request_sweep(mirror, EARLIER, NOW, "an overflow")
    end(mirror, state)
    runs.request(mirror, "verify", NOW, options={"depth": "counts"})
    end(mirror, "done", "verify")

    status = status_of(mirror, NOW)
    assert status.in_sync_as_of < EARLIER
    assert status.state == "attention"
    assert "weep" in status.reason

    later = request_sweep(mirror, NOW, NOW, "another overflow")
    assert later.options["since"] == EARLIER.isoformat()
    mirror.runs.filter(pk=later.pk).update(state="done", started_at=LATER, finished_at=LATER)
    assert as_of(mirror) > EARLIER
    assert status_of(mirror, NOW).state == "in_sync"


def test_a_load_covers_the_window_of_a_failed_sweep(mirror):
    request_sweep(mirror, EARLIER, NOW, "an overflow")
    end(mirror, "failed")
    runs.request(mirror, "load", NOW)
    end(mirror, "done", "load")

    assert as_of(mirror) > EARLIER


def test_a_load_covers_no_loss_that_was_noticed_after_it(mirror):
    sweep = request_sweep(mirror, NOW, NOW, "an overflow")
    load, _ = runs.request(mirror, "load", NOW)
    mirror.runs.filter(pk=load.pk).update(state="done", started_at=NOW, finished_at=NOW)
    lose_position(mirror)
    assert lost_time.request_due(NOW) == 1
    assert mirror.runs.get(kind="sweep").pk == sweep.pk

    end(mirror, "failed")

    assert min(uncovered(mirror)) == EARLIER


def test_a_change_to_every_record_ends_it_until_it_is_searched(mirror):
    logged(mirror, EARLIER, record_id="001*")

    assert as_of(mirror) < EARLIER


def test_ids_that_are_to_be_compared_end_it(mirror):
    options = {"depth": "ids", "since": EARLIER.isoformat()}
    runs.request(mirror, "verify", NOW, options=options)
    deeper, _ = runs.request(mirror, "verify", NOW, options={"depth": "full"})
    assert deeper.options == {"depth": "full", "since": EARLIER.isoformat()}
    assert as_of(mirror) < EARLIER

    end(mirror, "done", "verify")
    assert as_of(mirror) > EARLIER


def test_a_verification_that_has_begun_compares_all_ids_again(mirror):
    run, _ = runs.request(mirror, "verify", NOW, options={"depth": "full"})
    progress = {"cursor": {"steps": ["count"], "after": "001"}, "started_at": EARLIER, "done": 7}
    mirror.runs.filter(pk=run.pk).update(report={"compared": 7, "differences": 1}, **progress)

    request_ids(mirror, NOW, EARLIER, after=timedelta())

    run.refresh_from_db()
    assert (run.cursor, run.started_at, run.done) == ({}, None, 0)
    assert run.report == {"differences": 1}
    assert run.options == {"depth": "full", "since": EARLIER.isoformat()}


def test_a_verification_whose_worker_was_paused_does_not_cover_a_later_loss(mirror):
    run, _ = runs.request(mirror, "verify", NOW, options={"depth": "full"})
    paused = runs.RunClaim.of(run.pk, timezone.now())
    paused.keep(cursor={"steps": ["count", "full"]})
    MirrorRun.objects.filter(pk=run.pk).update(claimed_until=EARLIER)
    paused.job.claimed_until = EARLIER

    request_ids(mirror, NOW, EARLIER, after=timedelta())

    with pytest.raises(ClaimLost):
        paused.finish("done")
    assert as_of(mirror) < EARLIER


def test_a_mirror_without_its_mappings_is_not_in_sync(mirror):
    mirror.listener.mappings.get(managed=True, on="update").delete()

    status = status_of(mirror, NOW)

    assert (status.state, status.in_sync_as_of) == ("attention", None)
    assert "mappings" in status.reason


def test_the_mappings_of_a_mirror_are_not_paused(mirror):
    assert pause.pause(mirror.listener.mappings.all(), ANN, "", NOW) == 0


def test_a_listener_of_another_object_keeps_no_mirror_in_sync(listener, mirror):
    listener.channel = "/data/ContactChangeEvent"
    listener.save()

    assert as_of(mirror) is None


def test_a_first_load_that_was_cancelled_needs_attention(mirror):
    mirror.phase, mirror.in_sync_since = "loading", None
    mirror.save()
    end(mirror, "cancelled", "load")

    status = status_of(mirror, NOW)

    assert status.state == "attention"
    assert "mirror load crm.Account" in status.reason


def test_records_that_cannot_be_read_need_attention(mirror):
    mirror.dirty_rows.create(
        record_id="001000000000001AAA",
        since=0,
        complete_until=0,
        reason="gap",
        due_at=NOW,
        attempts=3,
        error="no permission",
    )

    assert status_of(mirror, NOW).reason.endswith("such as 001000000000001AAA: no permission")


def test_a_deletion_ends_what_is_proven_of_other_mirrors_until_it_is_known_to_be_no_merge(mirror):
    contacts = in_sync(add(mirror.listener, "crm.Contact"))
    contacts.described = {"AccountId": "reference"}
    contacts.save()
    logged(mirror, EARLIER, "DELETE")
    assert as_of(contacts) < EARLIER
    assert as_of(mirror) > EARLIER

    merges.search(Mirror.objects.get(pk=contacts.pk))

    assert as_of(contacts) > EARLIER


def test_the_last_event_proves_nothing_of_the_seconds_around_it(mirror):
    moment = NOW - timedelta(minutes=1)
    Mirror.objects.update(in_sync_since=EARLIER)
    Position.objects.update(caught_up_at=None, last_event_at=moment)

    assert as_of(mirror) == moment - timedelta(seconds=2), "servers' clocks differ"
