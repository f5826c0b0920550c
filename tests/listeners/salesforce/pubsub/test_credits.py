"""A stream requests as many events as it may, but no more than it can keep."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from listeners.salesforce.pubsub import fetch_requests, inbox
from listeners.salesforce.pubsub.fetch_requests import (
    MAX_CREDITS,
    MIN_CREDITS_A_REQUEST,
    TRICKLE_SECONDS,
    Credits,
)
from tests.listeners.salesforce.pubsub.scripted_events import batch
from tests.listeners.salesforce.pubsub.streams import names_of, polled
from tests.servers import wait_for


def full_of_credits(now=0.0):
    credits = Credits(now)
    credits.asked(credits.due(now, is_full=False), now)
    return credits


def test_used_credits_are_renewed_at_once_and_a_few_at_a_time():
    credits = full_of_credits()
    assert credits.outstanding == MAX_CREDITS
    assert credits.due(0.0, is_full=False) == 0
    credits.received(MIN_CREDITS_A_REQUEST - 1, 0, now=1.0)
    assert credits.due(1.0, is_full=False) == 0
    credits.received(1, 0, now=1.0)
    assert credits.due(1.0, is_full=False) == MIN_CREDITS_A_REQUEST


def test_nothing_is_asked_for_while_too_much_waits():
    credits = full_of_credits()
    credits.received(40, 60, now=1.0)
    assert credits.due(1.0, is_full=True) == 0
    assert credits.wait(1.0, is_full=True) is None
    assert credits.due(1.0, is_full=False) == 40


def test_one_is_asked_for_in_time_so_that_the_stream_stays_open():
    credits = full_of_credits(now=10.0)
    credits.received(MAX_CREDITS, 0, now=11.0)
    assert credits.due(11.0, is_full=True) == 0
    assert credits.wait(11.0, is_full=True) == TRICKLE_SECONDS - 1
    assert credits.due(10.0 + TRICKLE_SECONDS, is_full=True) == 1


def test_the_servers_count_is_believed_once_every_request_has_reached_it():
    credits = full_of_credits(now=0.0)
    credits.received(0, 60, now=1.0)  # what was asked for may be on its way
    assert credits.outstanding == MAX_CREDITS
    credits.received(0, 0, now=270.0)  # it has no count
    assert credits.outstanding == MAX_CREDITS
    credits.received(0, 60, now=540.0)
    assert credits.outstanding == 60


@given(
    st.lists(
        st.tuples(
            st.integers(0, MAX_CREDITS + 5), st.integers(0, 200), st.booleans(), st.floats(0, 40)
        )
    )
)
def test_the_outstanding_credits_never_exceed_the_maximum(history):
    credits, now = Credits(0.0), 0.0
    for events, pending, is_full, seconds in history:
        now += seconds
        credits.received(events, pending, now)
        due = credits.due(now, is_full=is_full)
        assert due >= 0
        if due:
            credits.asked(due, now)
        assert 0 <= credits.outstanding <= MAX_CREDITS


def test_credits_are_topped_up_as_events_arrive_without_a_poll(serve, connect):
    asked = []

    def script(call):
        asked.append(call.request().num_requested)
        for first in range(1, 301, 50):
            yield batch(first, first + 49)
            asked.append(call.request().num_requested)
        call.until_hung_up()

    stream = connect(serve(script))
    stream.open("-1")
    wait_for(lambda: len(asked) == 7)

    assert asked == [100, 50, 50, 50, 50, 50, 50]
    assert len(polled(stream, 300)) == 300


def test_a_stream_without_polls_requests_no_more_than_it_keeps(serve, connect, monkeypatch):
    monkeypatch.setattr(inbox, "FULL_EVENTS", 120)
    sent = threading.Event()

    def script(call):
        call.request()
        yield batch(1, 100)
        assert call.request().num_requested == 100
        yield batch(101, 150)
        sent.set()
        assert call.request().num_requested == 50
        yield batch(151, 200)
        call.until_hung_up()

    server = serve(script)
    stream = connect(server)
    stream.open("-1")
    assert sent.wait(20)
    wait_for(lambda: stream._current.subscription._credits.outstanding == 50)
    assert len(server.calls[0].requests) == 2

    assert names_of(polled(stream, 200)) == [str(number) for number in range(1, 201)]


def test_a_stream_without_polls_is_kept_open(serve, connect, monkeypatch):
    monkeypatch.setattr(inbox, "FULL_EVENTS", 100)
    monkeypatch.setattr(fetch_requests, "TRICKLE_SECONDS", 0.1)
    asked = []

    def script(call):
        asked.append(call.request().num_requested)
        yield batch(1, 100)
        for number in (101, 102):
            asked.append(call.request().num_requested)
            yield batch(number, number)
        call.until_hung_up()

    stream = connect(serve(script))
    stream.open("-1")
    wait_for(lambda: len(asked) == 3)

    assert asked == [100, 1, 1]


def test_what_is_too_much_to_keep_is_not_read(serve, connect, monkeypatch):
    monkeypatch.setattr(inbox, "FULL_BYTES", 10_000)

    def script(call):
        for number in range(1, 41):
            yield batch(number, number, name=f"{number} " + "x" * 200_000)
        call.until_hung_up()

    stream = connect(serve(script))
    stream.open("-1")
    wait_for(lambda: stream.has_result_ready)
    inbox_of = stream._current.subscription.inbox
    assert inbox_of.fullness < 50  # of the 800 that were sent

    names = names_of(polled(stream, 40))
    assert [name.split()[0] for name in names] == [str(number) for number in range(1, 41)]
    assert inbox_of.fullness == 0
