"""An attempt that never called its handler does not count, however late its claim was."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers import EventData, cdc_handler
from handlers.models import Delivery
from handlers.worker import claim as claims
from handlers.worker import hot_sql, message_run, run
from handlers.worker.run import run_deliveries
from listeners.clock import database_clock
from listeners.leases import PositionQuerySet
from tests.handlers.bundling import deliver, record_id, states
from tests.sample_data import change, lease_of, received
from tests.sample_handlers import read_journal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

HANDLER = "tests.remember"
RECLAIMED: list[int] = []


@cdc_handler(name="tests.reclaim", max_attempts=1)
def reclaim(event: EventData) -> None:
    """Let the relay look for lost runs."""
    RECLAIMED.append(relay.reclaim(database_clock.read()))


@pytest.fixture(autouse=True)
def nothing_reclaimed():
    RECLAIMED.clear()


@pytest.fixture
def time(monkeypatch):
    """The seconds that a claim took."""
    passed = [0.0]
    monkeypatch.setattr(claims, "monotonic", lambda: passed[0])
    return passed


def after_begin(monkeypatch, then):
    """Call `then` once, after the commit of a claim."""
    pending = [then]

    def wrapped(function):
        def begin(*args):
            result = function(*args)
            if pending:
                pending.pop()()
            return result

        return begin

    monkeypatch.setattr(hot_sql, "begin", wrapped(hot_sql.begin))
    monkeypatch.setattr(hot_sql, "begin_all", wrapped(hot_sql.begin_all))


def lose_answer():
    raise OperationalError("the connection broke")


def expire():
    past = database_clock.read() - timedelta(seconds=1)
    Delivery.objects.filter(state="running").update(claim_deadline=past)


def end_as_lost():
    expire()
    relay.reclaim(database_clock.read())


def rows():
    values = Delivery.objects.order_by("id").values_list("state", "attempts", "attempts_before")
    return list(values)


@pytest.mark.parametrize("count", [1, 3])
def test_a_claim_whose_commit_was_not_answered_is_kept(listener, monkeypatch, count):
    ids = deliver(listener, HANDLER, count, max_attempts=1)
    claims.run_time_of(HANDLER).note(0.0001)
    after_begin(monkeypatch, lose_answer)

    run_deliveries(ids, HANDLER)

    assert rows() == [("succeeded", 1, 0)] * count
    assert len(read_journal()) == count


@pytest.mark.parametrize("count", [1, 3])
def test_a_claim_that_was_lost_before_it_was_answered_begins_again(listener, monkeypatch, count):
    ids = deliver(listener, HANDLER, count, max_attempts=1)

    def lose():
        end_as_lost()
        assert set(states()) == {"dead"}
        lose_answer()

    claims.run_time_of(HANDLER)._size = count
    claims.run_time_of(HANDLER).note(0.0001)
    after_begin(monkeypatch, lose)

    run_deliveries(ids, HANDLER)

    assert rows() == [("succeeded", 2, 1)] * count
    assert len(read_journal()) == count


def test_a_claim_that_was_answered_late_is_renewed_before_its_run(listener, monkeypatch, time):
    ids = deliver(listener, "tests.reclaim", 1)

    def answer_late():
        expire()
        time[0] += 100

    after_begin(monkeypatch, answer_late)

    assert run_deliveries(ids) == "succeeded"

    assert RECLAIMED == [0]


@pytest.mark.parametrize(("attempts", "state"), [(1, "dead"), (5, "retrying")])
def test_a_claim_that_was_lost_when_it_was_answered_does_not_count(
    listener, monkeypatch, time, attempts, state
):
    ids = deliver(listener, HANDLER, 1, max_attempts=attempts)

    def answer_too_late():
        end_as_lost()
        assert states() == [state]
        time[0] += 100

    after_begin(monkeypatch, answer_too_late)

    assert run_deliveries(ids) == "not claimed"

    assert read_journal() == []
    assert rows() == [("ready", 1, 1)]
    assert run_deliveries(ids) == "succeeded"
    assert rows() == [("succeeded", 2, 1)]


def test_a_claim_that_another_worker_has_is_left_to_it(listener, monkeypatch, time):
    ids = deliver(listener, HANDLER, 1, max_attempts=2)

    def take_over():
        end_as_lost()
        Delivery.objects.update(due_at=database_clock.read())
        assert claims.claim(ids)
        time[0] += 100

    after_begin(monkeypatch, take_over)

    run_deliveries(ids)

    assert read_journal() == []
    assert rows() == [("running", 2, 0)]


def test_a_claim_that_was_lost_while_the_process_was_paused_does_not_count(listener, monkeypatch):
    ids = deliver(listener, HANDLER, 1, max_attempts=1)
    units_to_run = run._units_to_run

    def pause(claimed):
        units = units_to_run(claimed)
        end_as_lost()
        monkeypatch.setattr(message_run, "LATE_SECONDS", -1)
        return units

    monkeypatch.setattr(run, "_units_to_run", pause)

    run_deliveries(ids)

    assert read_journal() == []
    assert rows() == [("queued", 1, 1)]


def test_later_changes_of_the_record_that_started_meanwhile_end_first(listener, monkeypatch, time):
    [pk] = deliver(listener, HANDLER, 1, max_attempts=1)
    mapping = Delivery.objects.get().mapping
    ingest(listener, lease_of(listener), received(change(records=[record_id(0)])), [mapping])

    def answer_too_late():
        end_as_lost()
        assert states() == ["dead", "ready"]
        time[0] += 100

    after_begin(monkeypatch, answer_too_late)

    run_deliveries([pk])

    assert states() == ["blocked", "ready"]
    run_deliveries([pk + 1])
    assert states() == ["succeeded", "succeeded"]
    assert [line["id"] for line in read_journal()] == list(
        Delivery.objects.order_by("-id").values_list("entry", flat=True)
    )


def test_a_dead_delivery_starts_its_chain_only_under_the_lock_of_the_position(
    listener, monkeypatch, time
):
    """The process that has the lock may just have found the chain free."""
    [pk] = deliver(listener, HANDLER, 1, max_attempts=1)
    dead = Delivery.objects.get()
    lock_listener = PositionQuerySet.lock_listener
    locked = []

    def commit_first(self, listener_id):
        Delivery.objects.exclude(pk=pk).update(chain=dead.chain)
        locked.append(rows())
        lock_listener(self, listener_id)

    def answer_too_late():
        end_as_lost()
        message = change(records=[record_id(0)])
        ingest(listener, lease_of(listener), received(message), [dead.mapping])
        # As if it were not committed yet.
        Delivery.objects.exclude(pk=pk).update(chain="uncommitted", state="ready")
        monkeypatch.setattr(PositionQuerySet, "lock_listener", commit_first)
        time[0] += 100

    after_begin(monkeypatch, answer_too_late)

    run_deliveries([pk])

    assert locked == [[("blocked", 1, 1), ("ready", 0, 0)]]
    assert rows() == locked[0]


def test_an_attempt_that_called_its_handler_counts(listener):
    [pk] = deliver(listener, HANDLER, 1, max_attempts=1)
    [claimed] = claims.claim([pk])
    end_as_lost()

    claims.give_back([claimed], called=True)

    assert rows() == [("dead", 1, 0)]


def test_a_run_begins_when_its_claim_succeeded_not_when_it_was_first_tried(listener, monkeypatch):
    ids = deliver(listener, HANDLER, 1)
    begin, refused_at = hot_sql.begin, []

    def refuse_once(*args):
        if not refused_at:
            refused_at.append(database_clock.read())
            raise OperationalError("the database is away")
        return begin(*args)

    monkeypatch.setattr(hot_sql, "begin", refuse_once)

    [claimed] = claims.claim(ids)

    assert claimed.started_at >= refused_at[0]
    assert claimed.started_at == Delivery.objects.get().started_at
