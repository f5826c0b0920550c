"""A listener's receiving thread works against the simulator, in the test's own process."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Incident, Reconciliation
from consumer.stream.buffer import Buffer
from consumer.stream.login_guard import Logins
from consumer.stream.receiver import Receiver
from listeners.connections.create_stream import stream_for
from listeners.models import Position
from tests.listeners.salesforce.pubsub.scripted import ScriptedPubSub
from tests.listeners.salesforce.pubsub.scripted_events import batch
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import lease_of, listener_of, make_listener
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "60") as simulator:
        yield simulator


@pytest.fixture
def start(transactional_db, org):
    started: list[Receiver] = []

    def begin(**position) -> Receiver:
        listener = listener_of(org, replay_from="tip")
        lease = lease_of(listener)
        Position.objects.update(**position)
        tokens = Logins(threading.Event().wait).of(listener)
        receiver = Receiver(listener, lease, tokens, stream_for(listener, tokens), Buffer(10))
        receiver.thread.start()
        started.append(receiver)
        return receiver

    yield begin
    for receiver in started:
        receiver.stop()
        receiver.allow_disconnect()
        wait_for(lambda one=receiver: not one.thread.is_alive() and one.has_disconnected)


def test_a_subscription_alone_is_no_answer(start, org):
    receiver = start()
    org.wait_until_held()
    wait_for(lambda: receiver.status.state == Position.State.RECEIVING)
    assert receiver.opened_at
    assert receiver.last_received_at is None

    org.create("Account", Name="Acme")
    wait_for(lambda: receiver.last_received_at)


def test_a_receiver_whose_lease_is_lost_ends_and_says_so(transactional_db, org, caplog):
    listener = listener_of(org, replay_from="tip")
    lost = lease_of(listener, "one")
    Position.objects.update(holder="two", epoch=lost.epoch + 1)
    tokens = Logins(threading.Event().wait).of(listener)
    receiver = Receiver(listener, lost, tokens, stream_for(listener, tokens), Buffer(10))

    receiver.thread.start()

    wait_for(lambda: not receiver.thread.is_alive())
    assert "receiving ended: the lease was lost" in caplog.text
    receiver.stop()
    receiver.allow_disconnect()
    wait_for(lambda: receiver.has_disconnected)


def test_what_came_before_the_end_is_taken_in(transactional_db):
    def script(call):
        yield batch(1, 1100)  # more than two polls give
        call.until_hung_up()

    with ScriptedPubSub(script) as server:
        listener = make_listener(transport="pubsub", pubsub_endpoint=server.endpoint)
        buffer, stream = Buffer(1), stream_for(listener, NumberedTokens())
        receiver = Receiver(listener, lease_of(listener), NumberedTokens(), stream, buffer)
        receiver.thread.start()
        assert buffer.wait(20)
        receiver.stop()
        taken = 0
        while receiver.thread.is_alive():
            if buffer.wait(0.1):
                buffer.done(count := len(buffer.take(2000, 0)))
                taken += count
        receiver.allow_disconnect()
        buffer.close()

        assert taken + len(buffer.take(2000, 0)) == 1100
        wait_for(lambda: receiver.has_disconnected)


def test_a_listener_without_a_position_that_was_away_too_long_is_compared(start):
    """Nothing was received, so no position exists whose refusal would reveal the loss."""
    heard = timezone.now() - timedelta(hours=80)
    start(tip_since=heard - timedelta(hours=5), caught_up_at=heard, channel="/data/ChangeEvents")

    wait_for(Reconciliation.objects.exists)
    incident = Incident.objects.get()
    assert incident.kind == Incident.Kind.REPLAY_LOST
    assert heard - timedelta(minutes=3) < incident.window_start <= heard
    wait_for(lambda: Position.objects.get().replay_id == "-2")


@pytest.mark.parametrize(
    ("fields", "outlived"),
    [
        ({"tip_since": 80}, True),
        ({"tip_since": 80, "caught_up_at": 71}, False),
        ({"tip_since": 71}, False),
        ({"caught_up_at": 80}, True),
        ({"replay_id": "7", "tip_since": 80, "caught_up_at": 80}, False),
        ({"replay_id": "-2", "tip_since": 80, "caught_up_at": 80}, True),
        ({"replay_id": "-2", "tip_since": 80, "caught_up_at": 71}, False),
        ({"replay_id": "-2", "tip_since": 1, "caught_up_at": 80}, False),
        ({"replay_id": "-2", "caught_up_at": 80}, False),
        ({"replay_id": "-1", "caught_up_at": 80}, False),
        ({}, False),
    ],
)
def test_only_who_names_no_event_can_outlive_its_beginning(fields, outlived):
    from listeners.listener_state import has_outlived

    now = timezone.now()
    moments = {
        name: now - timedelta(hours=hours) for name, hours in fields.items() if name != "replay_id"
    }
    position = Position(replay_id=fields.get("replay_id", ""), **moments)
    assert has_outlived(position, now) is outlived
