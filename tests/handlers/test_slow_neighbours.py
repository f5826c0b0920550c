"""A slow or hanging run does not hold up the other runs of its message."""

import threading

import pytest
from django.db import connection

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.worker import atomic_runs, claim, message_run
from handlers.worker.run import run_deliveries
from tests.at_once import in_threads
from tests.attempts import all_attempts
from tests.handlers.bundling import (
    deliver,
    ids_of,
    messages,
    publish,
    record_id,
    states,
)  # fmt: skip
from tests.handlers.leaving import on_postgresql
from tests.sample_data import change, lease_of, received
from tests.sample_handlers import RELEASE, read_journal
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]
HANDLER = "tests.hang_when_told"


@pytest.fixture
def release():
    """Releases the hanging handler."""
    RELEASE.unlink(missing_ok=True)
    yield RELEASE.touch
    RELEASE.unlink(missing_ok=True)


def hangs():
    return any(line.get("at") == "hangs" for line in read_journal())


@pytest.fixture
def connected_when_freed(monkeypatch):
    """Whether the watchdog's thread had a database connection each time that it had freed some."""
    connected: list[bool] = []
    free = message_run._free

    def free_and_look(bundle):
        free(bundle)
        connected.append(connection.connection is not None)

    monkeypatch.setattr(message_run, "_free", free_and_look)
    return connected


def test_while_one_hangs_the_others_are_settled_or_go_elsewhere(
    listener, release, monkeypatch, connected_when_freed
):
    told = [{}, {}, {}, {}, {"Hang": True}, *[{}] * 5]
    ids = deliver(listener, HANDLER, data=told)
    others = ids[5:]

    [running] = in_threads(lambda: run_deliveries(ids, HANDLER))
    try:
        wait_for(hangs)
        monkeypatch.setattr(message_run, "LATE_SECONDS", 0)  # and now it is late
        wait_for(lambda: states() == [*["succeeded"] * 4, "running", *["queued"] * 5])
        wait_for(lambda: [pk for each in messages() for pk in each] == others)
        monkeypatch.setattr(message_run, "LATE_SECONDS", 600)
        assert not Delivery.objects.filter(pk__in=others).exclude(attempts=0).exists()

        assert run_deliveries(others, HANDLER) == "5 succeeded"
    finally:
        release()
    running.result(PATIENCE_SECONDS)

    assert states() == ["succeeded"] * 10
    done = [line["id"] for line in read_journal() if "at" not in line]
    assert sorted(done) == sorted(Delivery.objects.values_list("entry", flat=True))
    attempts = [(attempt.outcome, attempt.number) for attempt in all_attempts()]
    assert attempts == [("succeeded", 1)] * 10
    assert {*connected_when_freed} == {False}


@on_postgresql  # SQLite has one writer at a time
def test_while_an_atomic_one_hangs_only_those_of_its_transaction_wait(
    listener, release, monkeypatch
):
    handler = "tests.hang_when_told_atomic"
    data = [{}, {}, {"Hang": True}, {}]
    [first, ended, hanging, other] = deliver(listener, handler, data=data)
    mapping = HandlerMapping.objects.get()
    # Further changes of the first two records.
    again = [change(records=[record_id(n)]) for n in range(2)]
    ingest(listener, lease_of(listener), received(*again), [mapping])
    following = ids_of(state="blocked")

    [running] = in_threads(lambda: run_deliveries([first, ended, hanging, other], handler))
    try:
        wait_for(hangs)
        monkeypatch.setattr(message_run, "LATE_SECONDS", 0)
        wait_for(lambda: [pk for each in messages() for pk in each] == [following[0], other])
        assert ids_of(state="running") == [ended, hanging]
    finally:
        release()
    running.result(PATIENCE_SECONDS)

    wait_for(lambda: ids_of(state="queued") == sorted([other, *following]))
    assert ids_of(state="succeeded") == [first, ended, hanging]


def test_after_a_long_run_an_atomic_handler_shares_no_transactions_for_a_time(
    listener, monkeypatch
):
    handler = "tests.write_group"
    monkeypatch.setattr(atomic_runs, "LATE_SECONDS", -1)

    run_deliveries(deliver(listener, handler, 3), handler)

    assert list(atomic_runs._apart_until) == [handler]


def test_a_claim_that_waited_too_long_does_not_begin(listener, monkeypatch):
    """The whole process may have been paused, and another one may have taken over the claim."""
    monkeypatch.setattr(message_run, "LATE_SECONDS", -1)
    ids = deliver(listener, "tests.remember", 3)
    publish(ids)

    run_deliveries(ids, "tests.remember")

    assert read_journal() == []
    assert states() == ["queued"] * 3
    assert not Delivery.objects.exclude(attempts=0).exists()
    # The watchdog may have published those that were not claimed.
    assert sorted(messages()[3:]) == [[pk] for pk in ids]


def test_what_ends_a_worker_in_the_middle_leaves_the_others_to_be_found(listener, monkeypatch):
    ids = deliver(listener, "tests.remember", 4)
    seen = []

    def stop_at_the_third(name):
        seen.append(name)
        if name == "handled" and seen.count("handled") == 3:
            raise SystemExit

    monkeypatch.setattr("listeners.crash_points.reach", stop_at_the_third)

    with pytest.raises(SystemExit):
        run_deliveries(ids, "tests.remember")

    assert states() == ["succeeded", "succeeded", "running", "queued"]
    assert messages() == [[ids[3]]]


def test_a_message_ends_after_the_watchdog_gave_its_others_away(monkeypatch):
    bundle = message_run.Bundle([1, 2])
    begun, message_ended, outlasted = threading.Event(), threading.Event(), []

    def free(_):
        begun.set()
        outlasted.append(message_ended.wait(0.5))
        bundle.take(2)

    monkeypatch.setattr(message_run, "LATE_SECONDS", -1)
    monkeypatch.setattr(message_run, "_free", free)
    monkeypatch.setattr(claim, "THREAD_SECONDS", PATIENCE_SECONDS)

    with message_run.Watchdog().over(bundle):
        assert begun.wait(PATIENCE_SECONDS)
    message_ended.set()

    wait_for(lambda: outlasted, what="the end of the watchdog's work")
    assert outlasted == [False]
