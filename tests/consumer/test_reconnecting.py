"""A listener reconnects after its session ended, with increasing pauses."""

import queue
import random
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import grpc
import pytest
from django.db import connection, transaction
from django.utils import timezone

from consumer.stream import metrics
from consumer.stream.buffer import Buffer
from consumer.stream.receiver import Receiver
from consumer.stream.reconnect_delay import pause_after
from listeners.connections.create_stream import stream_for
from listeners.models import Position
from listeners.salesforce.errors import LoginUnavailable, TransportFailed
from listeners.salesforce.http.request import Answer
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from listeners.secrets.encrypted_field import SecretUnavailable
from tests.at_once import in_threads, somebody_waits_for_a_lock
from tests.listeners.salesforce.pubsub.scripted import Refusal, ScriptedPubSub, idle, playing
from tests.listeners.salesforce.pubsub.scripted_events import batch
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import lease_of, make_listener
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

BROKEN_OFF = Refusal(grpc.StatusCode.UNAVAILABLE)
REPLAY_REFUSED = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted")


@pytest.fixture
def receive():
    """Starts a receiver on a scripted server, without a recorder."""
    started: list[tuple[Receiver, Buffer]] = []

    def start(
        server: ScriptedPubSub,
        tokens: Any = None,
        position: dict[str, Any] | None = None,
        **fields: str,
    ) -> tuple[Receiver, Buffer]:
        listener = make_listener(transport="pubsub", pubsub_endpoint=server.endpoint, **fields)
        tokens = tokens or NumberedTokens()
        buffer, stream = Buffer(1000), stream_for(listener, tokens)
        receiver = Receiver(listener, lease_of(listener), tokens, stream, buffer)
        Position.objects.filter(listener=listener).update(**(position or {}))
        receiver.thread.start()
        started.append((receiver, buffer))
        return receiver, buffer

    yield start
    for receiver, buffer in started:
        receiver.stop()
        receiver.allow_disconnect()
        buffer.close()
        wait_for(lambda one=receiver: not one.thread.is_alive() and one.has_disconnected)


def take_all(buffer: Buffer) -> None:
    """Take batches as a recorder does, until the buffer is closed."""
    while batch := buffer.take(10, 0):
        buffer.done(len(batch))


def test_everything_received_is_recorded_before_the_stream_is_opened_again(receive):
    is_recorded = threading.Event()
    was_recorded = []

    def again(call):
        was_recorded.append(is_recorded.is_set())
        call.context.send_initial_metadata(())
        call.until_hung_up()
        yield from ()

    with ScriptedPubSub(playing(batch(1, 3), then=BROKEN_OFF), again) as server:
        receiver, buffer = receive(server)
        wait_for(lambda: buffer.outstanding == 3)
        wait_for(lambda: receiver.status.state == Position.State.CONNECTING)
        time.sleep(1)  # longer than the pause: who does not wait for the recording is back by now
        is_recorded.set()
        buffer.done(len(buffer.take(3, 0)))

        wait_for(lambda: was_recorded)
        assert was_recorded == [True]
        receiver.stop()


def test_sessions_that_end_soon_after_their_first_message_are_opened_less_and_less_often(
    receive, monkeypatch, settings
):
    """A server that sends one message per session must not be reconnected to without a pause for
    ever."""
    settings.CDC_RECONNECT_CAP_SECONDS = 1000
    longest_pauses = []

    def uniform(low, high):
        longest_pauses.append(high)
        return 0

    monkeypatch.setattr(random, "uniform", uniform)
    sessions = [playing(batch(number, number), then=BROKEN_OFF) for number in range(1, 7)]

    with ScriptedPubSub(*sessions, playing()) as server:
        receiver, buffer = receive(server)
        recording = in_threads(partial(take_all, buffer))
        wait_for(lambda: len(longest_pauses) >= 6)
        receiver.stop()
        buffer.close()
        recording[0].result(30)

    assert longest_pauses[:3] == [1, 2, 4]
    assert min(longest_pauses[3:6]) >= 8


def test_where_it_subscribed_is_kept_with_its_own_position_alone(receive):
    other = lease_of(make_listener())
    with ScriptedPubSub(playing()) as server:
        receiver, _ = receive(server)
        wait_for(lambda: receiver.status.state == Position.State.RECEIVING)
        opened = {
            sample.labels["listener"]: sample.value
            for metric in metrics.OPENED.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
        assert opened[receiver.thread.step.name.removeprefix("receive ")] >= 1

        assert Position.objects.exclude(listener=other.listener_id).get().channel != ""
        assert Position.objects.get(listener=other.listener_id).channel == ""


def test_two_answers_in_a_row_without_a_change_say_that_nothing_more_waits(receive, monkeypatch):
    handled = queue.SimpleQueue()
    handle = Receiver._receive

    def handle_and_tell(receiver):
        handle(receiver)
        handled.put(None)

    monkeypatch.setattr(Receiver, "_receive", handle_and_tell)
    nothing = wire.FetchResponse(pending_num_requested=100)
    answers = queue.SimpleQueue()

    def script(call):
        yield from iter(answers.get, None)
        call.until_hung_up()

    with ScriptedPubSub(script) as server, ExitStack() as ending:
        ending.callback(answers.put, None)
        receiver, buffer = receive(server)

        def caught_up_after(answer):
            answers.put(answer)
            handled.get(timeout=PATIENCE_SECONDS)
            return receiver.caught_up_at

        assert caught_up_after(nothing) is None
        assert caught_up_after(batch(1, 1)) is None
        assert [caught_up_after(nothing) for _ in range(3)] == [None] * 3  # one is to be recorded
        buffer.done(len(buffer.take(10, 0)))
        assert caught_up_after(nothing) is None
        then = caught_up_after(nothing)
        assert then
        assert caught_up_after(batch(2, 2)) == then
        buffer.done(len(buffer.take(10, 0)))
        assert caught_up_after(nothing) == then


class LostSecret:
    """Tokens of a connection whose secret is missing."""

    def get(self) -> Any:
        raise SecretUnavailable("SF_CLIENT_SECRET is not set")


def test_a_secret_that_is_missing_stops_the_listener_with_the_reason(receive):
    with ScriptedPubSub() as server:
        receiver, _ = receive(server, LostSecret())

        wait_for(lambda: receiver.status.state == Position.State.FAILED)

    assert "SF_CLIENT_SECRET is not set" in receiver.status.reason


class BrokenTokens:
    """Tokens that a defect makes unavailable; the requests for them are counted."""

    def __init__(self) -> None:
        self.calls = 0

    def get(self) -> Any:
        self.calls += 1
        raise RuntimeError("a defect")


def test_after_an_unexpected_error_it_waits_and_says_so(receive, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: 60)
    tokens = BrokenTokens()
    with ScriptedPubSub() as server:
        receiver, _ = receive(server, tokens)

        wait_for(lambda: receiver.status.reason)
        time.sleep(0.5)  # a receiver that does not wait has tried many times by now

        assert receiver.status.state == Position.State.CONNECTING
        assert "unexpected error RuntimeError" in receiver.status.reason
        assert tokens.calls == 1
        assert "RuntimeError" in {
            sample.labels["error"]
            for metric in metrics.INTERRUPTED.collect()
            for sample in metric.samples
        }


def test_stopping_while_it_waits_for_messages_is_no_error(receive, caplog):
    with ScriptedPubSub(playing()) as server:
        receiver, _ = receive(server)
        wait_for(lambda: receiver.status.state == Position.State.RECEIVING)

        receiver.stop()

        wait_for(lambda: not receiver.thread.is_alive())
    assert "unexpected error" not in caplog.text


@pytest.mark.parametrize(("replay_from", "is_tip"), [("tip", True), ("earliest", False)])
def test_only_a_subscription_at_the_tip_is_noted_as_one(receive, replay_from, is_tip):
    with ScriptedPubSub(playing()) as server:
        receiver, _ = receive(server, replay_from=replay_from)
        wait_for(lambda: receiver.status.state == Position.State.RECEIVING)

        assert (Position.objects.get().tip_since is not None) == is_tip


def test_a_listener_that_began_at_the_tip_recognizes_older_changes_after_a_restart(receive):
    """Nothing was recorded yet, so it begins at the earliest event, not at the tip again."""
    replays = []
    is_answered = threading.Event()

    def script(call):
        replays.append(call.request().replay_preset)
        yield wire.FetchResponse(pending_num_requested=100)
        assert is_answered.wait(PATIENCE_SECONDS)
        yield batch(1, 3)  # committed in 2023
        call.until_hung_up()

    with ScriptedPubSub(script) as server:
        position = {"tip_since": timezone.now()}
        receiver, buffer = receive(server, replay_from="tip", position=position)
        wait_for(lambda: receiver.last_received_at)
        is_answered.set()
        wait_for(lambda: buffer.outstanding == 3)
        messages = buffer.take(10, 0)

    assert {*replays} == {wire.ReplayPreset.EARLIEST}
    assert [message.is_before_start for message in messages] == [True] * 3


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no sessions")
def test_a_database_session_that_ends_while_the_beginning_is_stored_is_replaced(receive):
    is_locked = threading.Event()

    class TokensWhenLocked(NumberedTokens):
        def get(self):
            assert is_locked.wait(PATIENCE_SECONDS)
            return super().get()

    with ScriptedPubSub(idle) as server:
        receiver, _ = receive(server, TokensWhenLocked())
        with transaction.atomic(), connection.cursor() as cursor:
            Position.objects.select_for_update().get()
            is_locked.set()
            wait_for(somebody_waits_for_a_lock)
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )

        wait_for(lambda: receiver.status.state == Position.State.RECEIVING)

    assert Position.objects.get().channel != ""


def test_a_position_that_is_refused_again_and_again_is_tried_less_and_less_often(
    receive, monkeypatch, settings
):
    settings.CDC_RECONNECT_CAP_SECONDS = 1000
    longest_pauses = []

    def uniform(low, high):
        longest_pauses.append(high)
        return 0

    monkeypatch.setattr(random, "uniform", uniform)
    refused = playing(then=REPLAY_REFUSED)

    with ScriptedPubSub(*[refused] * 6, playing()) as server:
        receiver, _ = receive(server)
        wait_for(lambda: len(longest_pauses) >= 5)
        receiver.stop()

    assert longest_pauses[:5] == sorted(longest_pauses[:5])
    assert longest_pauses[4] > longest_pauses[0]


@pytest.mark.parametrize("error", [TransportFailed, LoginUnavailable])
def test_a_server_that_asks_for_a_pause_gets_it(error, settings):
    settings.CDC_RECONNECT_CAP_SECONDS = 5

    assert pause_after(error("busy", retry_after=30.0), 1) == 30.0
    assert pause_after(error("busy", retry_after=100_000.0), 1) == 600.0
    assert pause_after(error("busy"), 1) <= 1


def test_a_pause_may_be_asked_for_as_a_date():
    in_two_minutes = datetime.now(UTC) + timedelta(minutes=2)

    def asked(text: str) -> float | None:
        return Answer(503, {"Retry-After": text}, (), b"").retry_after()

    assert 60 < (asked(format_datetime(in_two_minutes, usegmt=True)) or 0) <= 120
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert asked("17") == 17
    assert asked("soon") is None
