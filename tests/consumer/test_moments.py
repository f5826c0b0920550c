"""A keep-alive's replay id moves the position, in order with the messages before it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Throughput
from consumer.ingest.position import CommitsLost
from consumer.ingest.transaction import KeepAlive, Message, ingest, move_to_keep_alive
from consumer.stream.buffer import Buffer
from consumer.stream.commit_mark import CommitMark
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from consumer.stream.start_position import Beginning, beginning_of
from listeners.leases import LeaseLost
from listeners.listener_state import has_outlived, longest_silence, runway
from listeners.models import Position
from listeners.salesforce.errors import ReplayLost
from listeners.salesforce.pubsub.stream import PubSubStream
from tests.sample_data import change, lease_of, make_listener, received
from tests.servers import wait_for

NOW = timezone.now()
NAMED = "0x000000000000000a0000"


def moment(replay_id: str = NAMED) -> KeepAlive:
    return KeepAlive(replay_id, NOW)


@pytest.fixture
def record(transactional_db, listener):
    """Records batches as a listener does; returns the reported replay ids, each with the position
    and the number of entries that were committed by then."""

    def recorded(*batches: list[Message | KeepAlive]) -> list[tuple[str, str, int]]:
        told: list[tuple[str, str, int]] = []

        def tell(replay_id: str) -> None:
            entries = AuditLogEntry.objects.count()
            told.append((replay_id, Position.objects.get().replay_id, entries))

        buffer = Buffer(10)
        recorder = Recorder(listener, lease_of(listener), buffer, Publisher(), on_commit=tell)
        for batch in batches:
            buffer.put(batch)
        buffer.close()
        recorder.thread.start()
        wait_for(lambda: not recorder.thread.is_alive())
        return told

    return recorded


def test_what_came_before_is_recorded_first(record):
    [first] = received(change(replay=9))

    told = record([first], [moment()])

    assert told == [("9", "9", 1), (NAMED, NAMED, 1)]
    position = Position.objects.get()
    assert (position.named_at, position.caught_up_at) == (NOW, NOW)


def test_what_comes_after_has_the_last_word(record):
    told = record([moment("0x01"), *received(change(replay=11))])

    assert told == [("11", "11", 1)]
    assert Position.objects.get().named_at is None


def test_it_is_no_change(record):
    record([moment()])

    assert not AuditLogEntry.objects.exists()
    assert not Throughput.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_the_lease_the_position_does_not_move(listener):
    lease = lease_of(listener)
    Position.objects.update(replay_id="7", lease_until="2020-01-01T00:00Z")
    lease_of(listener, "another process")

    with pytest.raises(LeaseLost):
        move_to_keep_alive(lease, moment(), "7")

    assert Position.objects.get().replay_id == "7"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_lost_the_commits_before_it_is_not_moved_past_them(listener):
    lease = lease_of(listener)
    ingest(listener, lease, received(change(replay=7)), [])

    with pytest.raises(CommitsLost):
        move_to_keep_alive(lease, moment(), expected_position="8")

    assert Position.objects.get().replay_id == "7"
    move_to_keep_alive(lease, moment(), expected_position="7")
    move_to_keep_alive(lease, moment(), expected_position="7")  # the answer to the commit was lost
    assert Position.objects.get().replay_id == NAMED


@pytest.mark.django_db(transaction=True)
def test_a_managed_subscription_past_lost_commits_is_not_resumed(listener):
    listener.transport, listener.managed_subscription = "pubsub", "Crm"
    lease = lease_of(listener)
    Position.objects.update(
        replay_id="7", subscription="Crm", org_id="00D", channel=listener.channel
    )
    assert beginning_of(listener, Position.objects.get(), "00D", NOW) == Beginning("7")
    buffer = Buffer(10)
    buffer.expected_position = "9"
    buffer.put(received(change(replay=10)))
    mark = CommitMark(lease, PubSubStream(None, "", endpoint=""), "Crm")
    recorder = Recorder(listener, lease, buffer, Publisher(), on_commits_lost=mark.clear)

    recorder.thread.start()

    wait_for(lambda: not recorder.thread.is_alive())
    with pytest.raises(ReplayLost, match="Crm is not where the position is"):
        beginning_of(listener, Position.objects.get(), "00D", NOW)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "elsewhere", [{"org_id": "00DB"}, {"channel": "/data/OtherChangeEvent"}], ids=["org", "channel"]
)
def test_a_position_of_another_org_or_channel_is_not_resumed(listener, elsewhere):
    home = {"org_id": "00DA", "channel": listener.channel}
    lease_of(listener)
    Position.objects.update(replay_id="7", **home)
    assert beginning_of(listener, Position.objects.get(), "00DA", NOW) == Beginning("7")

    Position.objects.update(**elsewhere)
    with pytest.raises(ReplayLost, match="belongs to another org or channel"):
        beginning_of(listener, Position.objects.get(), "00DA", NOW)

    for preset in ("", "-1", "-2"):  # they mean the same everywhere
        Position.objects.update(replay_id=preset)
        assert beginning_of(listener, Position.objects.get(), "00DA", NOW)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


@pytest.mark.parametrize(
    ("event", "named", "left"), [(50, 2, 70), (2, 50, 70), (50, None, 22), (None, 71, 1)]
)
def test_the_runway_counts_from_the_moment_or_from_an_event_after_it(event, named, left):
    position = Position(
        replay_id=NAMED,
        last_event_at=event and NOW - hours(event),
        named_at=named and NOW - hours(named),
    )
    assert runway(position, NOW) == hours(left)


@pytest.mark.parametrize(
    ("fields", "outlived"),
    [
        ({"last_event_at": 80}, True),
        ({"last_event_at": 80, "named_at": 71}, False),
        ({"last_event_at": 80, "caught_up_at": 71}, False),
        ({}, False),
    ],
)
def test_no_position_of_a_managed_subscription_is_refused_so_its_age_is_looked_at(fields, outlived):
    moments = {name: NOW - hours(number) for name, number in fields.items()}
    managed = Position(replay_id=NAMED, subscription="Crm", **moments)
    assert has_outlived(managed, NOW) is outlived
    assert not has_outlived(Position(replay_id=NAMED, **moments), NOW)
    managed.replay_id = "-2"  # it was looked at, and the loss recorded
    assert not has_outlived(managed, NOW)


def test_each_transport_may_be_silent_for_its_own_time(db):
    poll, stream = make_listener(), make_listener(transport="pubsub", read_timeout=60)
    assert longest_silence(poll) == 120 + 40 + 30
    assert longest_silence(stream) == 270 + 40 + 60
