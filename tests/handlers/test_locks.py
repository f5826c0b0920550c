"""A transaction that waits for a lock then sees the state that the lock's holder committed."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.broker import queue_length
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping, Handover, delivery_queryset
from handlers.outbox import handover, publish
from handlers.sdk.outcomes import Succeeded
from handlers.worker.claim import claim
from handlers.worker.run import run_deliveries
from handlers.worker.settle import settle
from tests.at_once import (
    in_threads,
    let_the_other_be_broken_off,
    somebody_waits_for_a_lock,
    waiting_for_locks,
)
from tests.attempts import all_attempts
from tests.handlers.bundling import deliver
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer"),
]


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_what_began_while_recording_waited_is_what_the_next_waits_for(listener):
    mapping, lease = make_mapping(listener), lease_of(listener)
    ingest(listener, lease, received(change(), change()), [mapping])
    [first] = claim([Delivery.objects.earliest("id").pk])

    with transaction.atomic():
        settle(first, Succeeded())
        [recording] = in_threads(lambda: ingest(listener, lease, received(change()), [mapping]))
        wait_for(somebody_waits_for_a_lock)
    recording.result()

    assert states() == ["succeeded", "ready", "blocked"]


def test_publishing_does_not_wait_for_locks(listener):
    mapping, lease = make_mapping(listener), lease_of(listener)
    ingest(listener, lease, received(*(change(records=[f"001{n}"]) for n in range(3))), [mapping])
    ids = list(Delivery.objects.order_by("id").values_list("id", flat=True))
    Delivery.objects.update(state="ready", queued_at=None)  # as the relay takes them back

    with transaction.atomic():
        Delivery.objects.filter(pk=ids[1]).select_for_update().get()
        [publishing] = in_threads(lambda: publish.publish(ids, timezone.now()))
        publishing.result(30)

    assert states() == ["queued", "ready", "queued"]
    assert queue_length("cdc") == 3


def test_the_relay_does_not_wait_for_locks(listener):
    """A lock may be that of a worker paused inside a transaction, which can take minutes to end."""
    now = timezone.now()
    paused, dead, taken, *_ = deliver(listener, "tests.remember", 5)
    # The database's clock, at which they were queued, may be a little ahead.
    later = timezone.now() + timedelta(seconds=1)
    Delivery.objects.filter(pk__in=[paused, dead]).update(
        state="running", attempts=1, claim_deadline=now - timedelta(seconds=1)
    )

    with transaction.atomic():
        list(Delivery.objects.filter(pk__in=[paused, taken]).locked())
        for work in (lambda: relay.reclaim(now), lambda: handover.take_back(later)):
            [working] = in_threads(work)
            working.result(30)
        assert states() == ["running", "retrying", "queued", "ready", "ready"]

    relay.reclaim(now)
    assert handover.take_back(later) == 1
    assert states() == ["retrying", "retrying", "ready", "ready", "ready"]
    assert not Handover.objects.exists()


def test_an_atomic_run_that_meets_a_deadlock_costs_no_attempt(listener, monkeypatch):
    """The other transaction locks in another order, as the deletion of a mapping does."""
    mapping, lease = make_mapping(listener, handler="tests.write_group"), lease_of(listener)
    ingest(listener, lease, received(change(), change()), [mapping])
    first, second = Delivery.objects.order_by("id")
    has_locked_first, look_for_next = threading.Event(), delivery_queryset.with_delivery

    def look_once_the_other_waits(*chains_and_query):
        if not has_locked_first.is_set():
            has_locked_first.set()
            wait_for(somebody_waits_for_a_lock)
        return look_for_next(*chains_and_query)

    monkeypatch.setattr(delivery_queryset, "with_delivery", look_once_the_other_waits)

    with transaction.atomic():
        let_the_other_be_broken_off()
        Delivery.objects.filter(pk=second.pk).select_for_update().get()
        [running] = in_threads(lambda: run_delivery(first.pk))
        assert has_locked_first.wait(PATIENCE_SECONDS)
        Delivery.objects.filter(pk=first.pk).select_for_update().get()
    running.result(PATIENCE_SECONDS)

    # The next change has run too, or is left to another worker, as the time allowed.
    assert states() in (["succeeded", "succeeded"], ["succeeded", "queued"])
    attempts = {(attempt.number, attempt.outcome) for attempt in all_attempts()}
    assert attempts == {(1, "succeeded")}


def test_claims_that_meet_a_deadlock_are_retried(listener):
    """No other message names them: given up, they would wait until they are found missing."""
    first, second, third = deliver(listener, "tests.write_groups", 3)

    is_second_locked = threading.Event()

    def lock_second_until_two_wait():
        with transaction.atomic():
            Delivery.objects.filter(pk=second).select_for_update().get()
            is_second_locked.set()
            wait_for(lambda: waiting_for_locks() == 2)

    with transaction.atomic():
        let_the_other_be_broken_off()
        Delivery.objects.filter(pk=third).select_for_update().get()
        [locking] = in_threads(lock_second_until_two_wait)
        assert is_second_locked.wait(PATIENCE_SECONDS)
        ids = [first, second, third]
        [running] = in_threads(lambda: run_deliveries(ids, "tests.write_groups"))
        wait_for(somebody_waits_for_a_lock)  # it has locked the first
        Delivery.objects.filter(pk=first).select_for_update().get()
    locking.result(PATIENCE_SECONDS)
    running.result(PATIENCE_SECONDS)

    assert states() == ["succeeded"] * 3
    assert {attempt.number for attempt in all_attempts()} == {1}


@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_that_is_cut_after_a_claim_costs_no_attempt(listener, monkeypatch, count):
    ids = deliver(listener, "tests.write_groups", count)
    reached = []

    def cut_at_the_first_claim(name):
        if name == "claimed" and name not in reached:
            connection.connection.close()
        reached.append(name)

    monkeypatch.setattr("listeners.crash_points.reach", cut_at_the_first_claim)

    run_deliveries(ids, "tests.write_groups")

    assert states() == ["succeeded"] * count
    assert {attempt.number for attempt in all_attempts()} == {1}


@pytest.mark.parametrize("count", [1, 3])
def test_two_workers_that_claim_the_same_deliveries_run_each_of_them_once(listener, count):
    ids = deliver(listener, "tests.write_groups", count)
    claimed = []

    with transaction.atomic():
        # Another worker has claimed them, and its commit is on its way.
        begun = Delivery.objects.filter(pk__in=ids).locked()
        assert len(begun) == count
        until = timezone.now() + timedelta(minutes=1)
        Delivery.objects.filter(pk__in=ids).update(
            state="running", attempts=1, claim_deadline=until
        )
        [claiming] = in_threads(lambda: claimed.extend(claim(ids)))
        wait_for(somebody_waits_for_a_lock)
    claiming.result(30)

    assert claimed == []
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}


@pytest.fixture
def moving(listener):
    """Two changes of a record in one lane, the first of which runs. The edit moves the second one
    to another lane."""
    other = make_mapping(listener, "create")
    mapping = make_mapping(listener, "update")
    ingest(listener, lease_of(listener), received(change("UPDATE"), change("UPDATE")))
    HandlerMapping.objects.filter(pk=other.pk).update(on="update", handler="tests.skip")
    return mapping


def retarget(mapping):
    HandlerMapping.objects.filter(pk=mapping.pk).update(handler="tests.fail")
    mapping.refresh_from_db()
    with transaction.atomic():
        move_waiting(mapping, timezone.now())


def record_another(mapping):
    listener = mapping.listener
    ingest(listener, lease_of(listener), received(change("UPDATE", ["001000000000002AAA"])))


@pytest.mark.parametrize("work", [retarget, record_another])
def test_what_moves_to_another_lane_waits_for_the_run_before_it(moving, work):
    """The edit locks the running delivery first, as the end of a run does; another order could lead
    to a deadlock."""
    [first] = claim([Delivery.objects.earliest("id").pk])

    with transaction.atomic():
        Delivery.objects.settle(first.delivery.pk, first.attempt, state="succeeded")
        [working] = in_threads(lambda: work(moving))
        wait_for(somebody_waits_for_a_lock)
        Delivery.objects.promote([first.delivery.chain])
    working.result(30)

    second = Delivery.objects.order_by("id")[1]
    assert second.state == "ready"
    record_another(moving)  # nothing is left behind any more
    second.refresh_from_db()
    assert second.chain.startswith(f"{moving.pk}:")
