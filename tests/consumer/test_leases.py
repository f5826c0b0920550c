"""A listener's lease has one holder at a time, each with its own epoch."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer.ingest.position import note_unrecorded
from consumer.ingest.transaction import KeepAlive, ingest, move_to_keep_alive
from listeners import leases
from listeners.leases import Lease, LeaseLost
from listeners.models import Position
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.django_db(transaction=True)


def expire() -> None:
    Position.objects.update(lease_until="2020-01-01T00:00Z")


@pytest.fixture
def lasting(monkeypatch):
    """Leases that are taken or renewed do not end while a test runs. Not for tests that record:
    the statement that moves a position would keep the longer lease for later tests."""
    monkeypatch.setattr(leases, "LEASE", timedelta(hours=1))


def elsewhere(work):
    """Return the result from another database session, while this one's transaction is open."""
    answers = []

    def run():
        try:
            answers.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert answers, "it waits"
    return answers[0]


def test_the_first_one_gets_it_and_the_second_does_not(listener, lasting):
    assert lease_of(listener, "one").epoch == 1
    assert lease_of(listener, "two") is None


def test_an_expired_lease_goes_to_another_with_the_next_epoch(listener):
    lease_of(listener, "one")
    expire()

    assert lease_of(listener, "two").epoch == 2


def test_a_lost_lease_can_be_neither_renewed_nor_released(listener):
    old = lease_of(listener, "one")
    expire()
    lease_of(listener, "two")

    assert Position.objects.renew([old]) == [old]
    assert not Position.objects.release(old)
    assert Position.objects.get().holder == "two"


def test_renewing_keeps_it(listener, lasting):
    lease = lease_of(listener, "one")
    expire()

    assert Position.objects.renew([lease]) == []
    assert lease_of(listener, "two") is None


def test_a_released_lease_is_free_at_once(listener):
    Position.objects.release(lease_of(listener, "one"))

    assert lease_of(listener, "two").epoch == 2


def test_acquiring_several_leases_gets_the_free_ones(make_listener, lasting):
    listeners = [make_listener() for _ in range(3)]
    lease_of(listeners[1], "other")

    got = Position.objects.acquire([one.pk for one in listeners], "one")

    assert got == [Lease(listeners[0].pk, "one", 1), Lease(listeners[2].pk, "one", 1)]


def test_renewing_several_leases_returns_the_kept_ones(make_listener, lasting):
    mine = [lease_of(make_listener(), "one") for _ in range(3)]
    expire()
    Position.objects.acquire([mine[1].listener_id], "other")
    again = Position.objects.filter(pk=mine[2].listener_id)
    again.update(epoch=7)  # lost, and taken again by the same process

    assert Position.objects.renew(mine) == mine[1:]

    live = {position.pk for position in Position.objects.with_life() if position.is_held}
    assert live == {mine[0].listener_id, mine[1].listener_id}


def test_only_the_named_leases_of_a_process_are_renewed(make_listener, lasting):
    draining, kept = (lease_of(make_listener(), "one") for _ in range(2))
    expire()

    assert Position.objects.renew([kept]) == []

    live = {position.pk for position in Position.objects.with_life() if position.is_held}
    assert live == {kept.listener_id}
    assert draining.listener_id not in live


def test_many_are_taken_and_renewed_in_a_few_queries(make_listener, django_assert_max_num_queries):
    ids = [make_listener().pk for _ in range(40)]
    with django_assert_max_num_queries(12):
        leases = Position.objects.acquire(ids, "one")
        assert Position.objects.renew(leases) == []
    assert len(leases) == 40


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, not row locks")
def test_positions_are_locked_in_one_order_and_without_their_keys(make_listener):
    ids = sorted(make_listener().pk for _ in range(3))
    for pk in reversed(ids):
        Position.objects.create(listener_id=pk)

    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        locked = Position.objects.filter(listener__in=ids).lock()

    assert [position.pk for position in locked] == ids
    [lock] = [query["sql"] for query in queries if " FOR " in query["sql"]]
    assert lock.endswith('ORDER BY "listeners_position"."listener_id" ASC FOR NO KEY UPDATE')


def test_a_listener_that_never_ran_can_be_locked_too(listener):
    with transaction.atomic():
        Position.objects.lock_listener(listener.pk)

    assert Position.objects.get().holder == ""


def test_recording_pushes_the_end_of_the_lease_back(listener):
    lease = lease_of(listener, "one")
    expire()
    before = timezone.now()

    ingest(listener, lease, received(change()), [])

    assert Position.objects.get().lease_until > before


def test_moving_the_position_without_a_change_pushes_the_end_of_the_lease_back_too(listener):
    lease = lease_of(listener, "one")
    expire()
    before = timezone.now()

    move_to_keep_alive(lease, KeepAlive("7", before))

    assert Position.objects.get().lease_until > before


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, not row locks")
def test_a_position_that_is_written_to_holds_up_no_other(make_listener, lasting):
    busy, other = make_listener(), make_listener()
    mine = [lease_of(busy, "one"), lease_of(other, "one")]
    expire()
    with transaction.atomic():
        Position.objects.held(mine[0]).lock()

        lost = elsewhere(lambda: Position.objects.renew(mine))
        taken = elsewhere(lambda: Position.objects.acquire([busy.pk, other.pk], "two"))

    assert lost == []
    assert taken == []
    live = [position.pk for position in Position.objects.with_life() if position.is_held]
    assert live == [other.pk]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, not row locks")
def test_saying_that_nothing_is_committed_does_not_wait_for_a_locked_position(listener):
    lease = lease_of(listener, "one")
    with transaction.atomic():
        Position.objects.held(lease).select_for_update().get()
        elsewhere(lambda: note_unrecorded(lease, 30) or True)

    assert Position.objects.get().unrecorded_since is None
    note_unrecorded(lease, 30)
    assert Position.objects.get().unrecorded_since is not None


def test_a_process_that_takes_a_lease_again_cannot_write_under_the_old_one(listener):
    """The process was frozen past the lease's end, and continues work that it began under it."""
    old = lease_of(listener, "one")
    expire()
    [new] = Position.objects.acquire([listener.pk], "one")

    assert new.epoch == old.epoch + 1
    assert not Position.objects.release(old)
    with pytest.raises(LeaseLost):
        ingest(listener, old, received(change()), [])
    assert Position.objects.held(new).exists()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks the whole file")
def test_a_locked_listener_stays_locked_until_the_transaction_ends(listener):
    lease_of(listener)
    free = Position.objects.filter(listener=listener)

    def unlocked():
        with transaction.atomic():
            return list(free.locked(skip_locked=True))

    with transaction.atomic():
        Position.objects.lock_listener(listener.pk)
        assert elsewhere(unlocked) == []
    assert elsewhere(unlocked) == [Position.objects.get()]
