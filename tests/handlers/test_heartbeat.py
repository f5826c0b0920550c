"""A claim is renewed during its run, but not for longer than a run may last."""

import threading
from datetime import timedelta

import pytest
from django.db import ProgrammingError
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.worker import claim as claims
from handlers.worker.claim import Heartbeat, claim, renew
from handlers.worker.time_limit import GRACE, deadline
from listeners.clock import database_clock
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def run(listener):
    """A run that has begun, with a claim that expires now."""
    mapping = make_mapping(listener)
    ingest(listener, lease_of(listener), received(change()), [mapping])
    delivery = Delivery.objects.get()
    [begun] = claim([delivery.pk])
    Delivery.objects.update(claim_deadline=begun.started_at)
    return begun


def ends_at():
    return Delivery.objects.values_list("claim_deadline", flat=True).get()


def test_a_run_keeps_its_claim_while_it_lasts(run, settings):
    settings.CDC_CLAIM_SECONDS = 0.4
    heartbeat = Heartbeat()

    with heartbeat.of([run]):
        for _ in range(3):
            seen = ends_at()
            wait_for(lambda seen=seen: ends_at() > seen, what="the renewal")


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, ProgrammingError])
def test_a_run_keeps_its_claim_after_an_error_that_nobody_foresaw(
    run, settings, monkeypatch, error
):
    settings.CDC_CLAIM_SECONDS = 0.4
    errors = [error()] * 2

    def fail_or_renew(*args):
        if errors:
            raise errors.pop()
        return renew(*args)

    monkeypatch.setattr(claims, "renew", fail_or_renew)
    seen = ends_at()

    with Heartbeat().of([run]):
        wait_for(lambda: ends_at() > seen, what="the renewal after the errors")


class Renewal:
    """A renewal in the heartbeat's thread, which closes its connection late."""

    def __init__(self, monkeypatch, settings, *, seconds: float) -> None:
        settings.CDC_CLAIM_SECONDS = 0.04
        self._seconds = seconds
        self._thread: threading.Thread | None = None
        self.begun, self.run_ended, self.may_end = (threading.Event() for _ in range(3))
        self.outlasted: list[bool] = []
        monkeypatch.setattr(claims, "renew", self._renew)
        monkeypatch.setattr(claims, "connection", self)
        monkeypatch.setattr(database_clock, "read", timezone.now)

    def _renew(self, *_) -> None:
        self._thread = threading.current_thread()
        self.begun.set()

    def close(self) -> None:
        if threading.current_thread() is self._thread and not self.outlasted:
            self.may_end.wait(self._seconds)
            self.outlasted.append(self.run_ended.is_set())


def test_a_run_ends_after_a_renewal_that_has_begun(run, settings, monkeypatch):
    renewal = Renewal(monkeypatch, settings, seconds=0.5)
    monkeypatch.setattr(claims, "THREAD_SECONDS", PATIENCE_SECONDS)

    with Heartbeat().of([run]):
        assert renewal.begun.wait(PATIENCE_SECONDS)
    renewal.run_ended.set()

    wait_for(lambda: renewal.outlasted, what="the end of the renewal")
    assert renewal.outlasted == [False]


def test_a_renewal_that_hangs_does_not_keep_a_run_from_ending(run, settings, monkeypatch):
    renewal = Renewal(monkeypatch, settings, seconds=PATIENCE_SECONDS)
    monkeypatch.setattr(claims, "THREAD_SECONDS", 0.05)

    with Heartbeat().of([run]):
        assert renewal.begun.wait(PATIENCE_SECONDS)
    renewal.run_ended.set()
    renewal.may_end.set()

    wait_for(lambda: renewal.outlasted, what="the end of the renewal")
    assert renewal.outlasted == [True]


def test_a_run_that_ended_is_not_renewed(run, settings):
    settings.CDC_CLAIM_SECONDS = 60
    Delivery.objects.update(state="succeeded", claim_deadline=None)

    assert renew({run}, timezone.now()) == 0

    assert ends_at() is None


def test_a_claim_that_was_lost_is_not_renewed(run):
    relay.reclaim(run.started_at + timedelta(seconds=1))
    assert claim([run.delivery.pk])
    Delivery.objects.update(claim_deadline=run.started_at)

    assert renew({run}, timezone.now()) == 0

    assert ends_at() == run.started_at


def test_a_renewed_run_is_not_taken_for_lost(run):
    later = run.started_at + timedelta(seconds=100)

    assert renew({run}, later) == 1

    assert relay.reclaim(later + timedelta(seconds=1)) == 0


def test_a_run_that_hangs_is_lost_in_the_end(run, settings):
    longest = timedelta(seconds=settings.CDC_RUN_SECONDS) + GRACE
    renew({run}, run.started_at + longest)

    assert relay.reclaim(run.started_at + longest + timedelta(seconds=1)) == 1


def test_a_claim_ends_soon_after_its_worker(settings):
    settings.CDC_CLAIM_SECONDS, settings.CDC_RUN_SECONDS = 90, 300
    now = timezone.now()

    assert deadline(now, now) == now + timedelta(seconds=90)
    assert deadline(now, now + timedelta(seconds=299)) == now + timedelta(seconds=330)
