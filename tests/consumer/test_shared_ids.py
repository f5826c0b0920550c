"""Where events share a replay id, the position stays before the newest id, so that a restart
between two of them receives the rest."""

import queue
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLogEntry, Quarantined
from consumer import listener_control
from consumer.ingest.position import CommitsLost
from consumer.ingest.transaction import KeepAlive, Message, ingest, move_to_keep_alive
from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.receiver import Receiver
from consumer.stream.recorder import Recorder
from consumer.stream.session import Session
from listeners.connections.create_stream import stream_for
from listeners.listener_state import runway
from listeners.models import Position
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as wire
from tests.listeners.salesforce.pubsub.scripted import ScriptedPubSub, playing
from tests.listeners.salesforce.pubsub.scripted_events import batch
from tests.listeners.salesforce.pubsub.streams import NumberedTokens
from tests.sample_data import change, lease_of, make_listener, received
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOM, ALL, ACCOUNTS = "/data/Sales__chn", "/data/ChangeEvents", "/data/AccountChangeEvent"


def part(replay: int, record: str, **fields):
    """Return a part of an event: the same transaction and id for each record."""
    header = {"transaction": f"t{replay}", "commitTimestamp": 1_764_000_000_000 + replay}
    return change("UPDATE", [record], replay=replay, **header, **fields)


def unreadable(replay: int):
    return {"channel": CUSTOM, "data": {"event": {"replayId": replay}}}


class ScriptedStream:
    """A stream that Salesforce accepts."""

    has_committed = False
    server_time = None

    def open(self, replay: str) -> None: ...


class Listening:
    """Records batches, each from where the one before left the position."""

    def __init__(self, channel: str) -> None:
        self.listener = make_listener(channel=channel)
        self.lease = lease_of(self.listener)
        Position.objects.filter(listener=self.listener).update(channel=channel)
        self.position_token = ""

    def record(self, *messages):
        result = ingest(self.listener, self.lease, received(*messages), [], self.position_token)
        self.position_token = result.position_token
        return result

    @property
    def position(self) -> Position:
        return Position.objects.get(listener=self.listener)


@pytest.fixture
def custom():
    return Listening(CUSTOM)


def test_a_restart_between_two_parts_resumes_before_them(custom):
    custom.record(part(1, "001A"))
    custom.record(part(2, "001A"))

    custom.record(part(2, "001B"))

    assert custom.position.replay_id == "1"
    assert custom.position.newest_id == "2"


def test_before_its_second_id_a_listener_resumes_where_it_began(custom):
    custom.record(part(1, "001A"))

    assert custom.position.replay_id == ""
    assert custom.position.has_begun


def test_before_its_second_id_a_listener_has_a_position_after_a_restart_too(custom):
    custom.record(part(1, "001A"))

    begin_again(custom)

    assert custom.position.position_token == ""
    assert custom.position.has_begun
    assert not listener_control.obstacle(custom.listener, timezone.now() + HOUR)

    assert listener_control.forget(custom.position)
    assert not custom.position.has_begun


def test_an_event_with_another_id_moves_the_position_with_one_event_in_each_batch(custom):
    moves = [custom.record(part(number, "001A")).replay_id for number in (1, 2, 3, 4)]

    assert moves == ["", "1", "2", "3"]
    assert custom.position.replay_id == "3"


@pytest.mark.parametrize(
    ("ids", "expected"), [([2, 3, 3], "2"), ([3, 3], "1"), ([1, 3], "1"), ([1, 1], "5")]
)
def test_the_position_after_a_batch_is_the_id_before_its_last_one(custom, ids, expected):
    custom.record(part(5, "001X"), part(1, "001X"))

    custom.record(*(part(number, f"001{place}") for place, number in enumerate(ids)))

    assert custom.position.replay_id == expected
    assert custom.position.newest_id == str(ids[-1])


def test_each_part_is_recorded_once_however_often_it_arrives(custom):
    custom.record(part(1, "001A"))

    again = custom.record(part(1, "001A"), part(1, "001B"))

    assert (again.entries, again.repeated) == (1, 1)
    records = AuditLogEntry.objects.order_by("id").values_list("record_id", "replay_id")
    assert list(records) == [("001A", "1"), ("001B", "1")]


def test_the_last_change_is_the_newest_one_although_the_position_is_before_it(custom):
    custom.record(part(1, "001A"), part(2, "001A"))

    assert custom.position.last_event_at.timestamp() * 1000 == 1_764_000_000_002


def at(replay: int, committed_at: datetime, record: str = "001A") -> dict[str, Any]:
    message = part(replay, record)
    header = message["data"]["payload"]["ChangeEventHeader"]
    header["commitTimestamp"] = int(committed_at.timestamp() * 1000)
    return message


def begin_again(listening: Listening) -> None:
    """Start another session, as after a restart."""
    buffer = Buffer(10)
    stream: Any = ScriptedStream()
    session = Session(listening.listener, listening.lease, stream, buffer)
    session.open("")
    session.store_beginning()
    listening.position_token = buffer.expected_position or ""


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_the_time_left_counts_from_the_event_of_the_position_and_not_from_the_last_one(
    custom, in_one_batch
):
    now = timezone.now().replace(microsecond=0)
    messages = [at(1, now - 70 * HOUR), at(2, now, "001B")]
    for several in [messages] if in_one_batch else [[message] for message in messages]:
        custom.record(*several)
    custom.record(at(2, now, "001C"))
    assert runway(custom.position, now) == 2 * HOUR

    begin_again(custom)
    assert runway(custom.position, now) == 2 * HOUR
    custom.record(at(2, now, "001D"))
    assert runway(custom.position, now) == 2 * HOUR

    custom.record(at(3, now + HOUR))
    assert runway(custom.position, now) == 72 * HOUR


def test_the_time_left_counts_from_the_last_event_again_once_nothing_follows(custom):
    now = timezone.now().replace(microsecond=0)
    custom.record(at(1, now - 70 * HOUR), at(2, now))
    begin_again(custom)

    move_to_keep_alive(custom.lease, KeepAlive("2", now), custom.position_token)

    assert runway(custom.position, now) == 72 * HOUR


def rewind(state: dict[str, Any]) -> None:
    """Lose commits: the database has an older position."""
    Position.objects.update(**{name: state[name] for name in ("replay_id", "newest_id")})
    Position.objects.update(newest_batches=state["newest_batches"])


@pytest.mark.parametrize("following", [2, 3])
@pytest.mark.parametrize("lost", [part(2, "001A"), part(1, "001B")], ids=["another id", "same id"])
def test_lost_commits_are_noticed_although_the_position_stood_still(custom, lost, following):
    custom.record(part(1, "001A"))
    older = Position.objects.values().get()
    custom.record(lost)
    rewind(older)

    for message in (part(following, "001C"), unreadable(following)):
        with pytest.raises(CommitsLost):
            custom.record(message)

    assert custom.position.position_token == "1#1"


@pytest.mark.parametrize("second", [part(1, "001B"), part(2, "001B"), unreadable(1), unreadable(2)])
def test_a_batch_that_was_committed_without_an_answer_is_no_loss(custom, second):
    custom.record(part(1, "001A"))
    position_token = custom.position_token
    first_time = custom.record(second)
    replay_id = custom.position.replay_id
    custom.position_token = position_token

    again = custom.record(second)

    assert first_time.entries + first_time.quarantined == 1
    assert again.entries + again.quarantined == 0
    assert custom.position.replay_id == replay_id
    custom.record(part(3, "001C"))


def test_a_part_that_cannot_be_read_does_not_move_the_position_past_the_others(custom):
    custom.record(part(1, "001A"), part(2, "001A"))

    custom.record(unreadable(2))
    assert custom.position.replay_id == "1"
    result = custom.record(part(2, "001B"), unreadable(3), part(3, "001A"))

    assert (result.entries, result.quarantined) == (2, 1)
    assert Quarantined.objects.count() == 2
    assert (custom.position.replay_id, custom.position.newest_id) == ("2", "3")


# Standard channels


@pytest.mark.parametrize("channel", [ALL, ACCOUNTS])
def test_two_events_with_one_id_show_that_ids_are_shared(channel):
    listening = Listening(channel)
    listening.record(part(1, "001A"))
    assert listening.position.replay_id == "1"

    listening.record(part(2, "001A"), part(2, "001B"))

    assert listening.position.shares_ids
    assert listening.position.replay_id == "1"
    listening.record(part(3, "001A"))
    listening.record(part(4, "001A"))
    assert listening.position.replay_id == "3"


def test_two_events_with_one_id_in_two_batches_show_it_too():
    listening = Listening(ALL)
    listening.record(part(1, "001A"))

    listening.record(part(1, "001B"))

    assert listening.position.shares_ids
    assert listening.position.position_token == "1#1"


def test_a_lost_commit_of_the_batch_that_showed_it_is_noticed():
    listening = Listening(ACCOUNTS)
    listening.record(part(1, "001A"))
    older = Position.objects.values().get()
    listening.record(part(1, "001B"))
    rewind(older)
    Position.objects.update(shares_ids=False)

    for message in (part(1, "001C"), unreadable(1)):
        with pytest.raises(CommitsLost):
            listening.record(message)
    for named in ("", "1"):
        with pytest.raises(CommitsLost):
            move_to_keep_alive(
                listening.lease, KeepAlive(named, timezone.now()), listening.position_token
            )


@pytest.mark.parametrize("second", [part(1, "001C"), unreadable(1)], ids=["read", "unreadable"])
def test_a_commit_that_is_lost_after_the_position_moved_on_is_noticed(custom, second):
    custom.record(part(1, "001A"))
    custom.position_token = move_to_keep_alive(
        custom.lease, KeepAlive("", timezone.now()), custom.position_token
    )
    older = Position.objects.values().get()
    custom.record(part(1, "001B"))
    rewind(older)

    with pytest.raises(CommitsLost):
        custom.record(second)


@pytest.mark.parametrize("times", [1, 2])
def test_an_event_that_arrives_twice_shows_nothing(times):
    listening, message = Listening(ALL), part(1, "001A")
    listening.record(message)

    listening.record(*[message] * times)

    assert not listening.position.shares_ids
    assert listening.position.position_token == "1"


@pytest.mark.parametrize("channel", [ALL, ACCOUNTS])
def test_a_field_that_did_not_change_shows_nothing_on_a_standard_channel(channel):
    """Other senders name other fields as changed than those that they send."""
    listening = Listening(channel)
    listening.record(part(1, "001A"))

    fields = {"Phone": "1", "Industry": "Energy"}
    listening.record(part(2, "001A", data=fields, changedFields=["Phone"]))

    assert not listening.position.shares_ids
    assert listening.position.position_token == "2"


def test_a_usual_channel_is_recorded_with_the_usual_statements():
    def updates(channel: str) -> list[str]:
        listening = Listening(channel)
        with CaptureQueriesContext(connection) as queries:
            listening.record(part(1, "001A"))
        statements = [query["sql"] for query in queries]
        return [sql for sql in statements if sql.startswith('UPDATE "listeners_position"')]

    [usual], [custom] = updates(ALL), updates(CUSTOM)
    assert "newest_id" not in usual.partition("WHERE")[0]
    assert "newest_id" in custom.partition("WHERE")[0]


# The recording thread


@pytest.fixture
def record():
    """Records batches as a listener does, and returns the ids that a managed subscription would
    commit."""

    def recorded(channel: str, *batches: list[Message | KeepAlive]) -> list[str]:
        listener = make_listener(channel=channel)
        committed: list[str] = []
        buffer = Buffer(10)
        buffer.begin("")
        lease, publisher = lease_of(listener), Publisher()
        recorder = Recorder(listener, lease, buffer, publisher, on_commit=committed.append)
        recorder.thread.start()
        for messages in batches:
            buffer.put(messages)
            buffer.wait_until_recorded()
        buffer.close()
        wait_for(lambda: not recorder.thread.is_alive())
        return committed

    return recorded


def test_a_managed_subscription_commits_the_held_back_id(record):
    batches = [received(part(number, record)) for number, record in ((1, "A"), (1, "B"), (2, "A"))]

    assert record(CUSTOM, *batches) == ["1"]
    assert record(ACCOUNTS, *batches[:1], *batches[2:]) == ["1", "2"]


@pytest.mark.parametrize(("named", "expected"), [("0x09", "0x09"), ("2", "2"), ("", "2")])
def test_the_position_moves_on_when_nothing_follows(record, named, expected):
    batches = [received(part(1, "A")), received(part(2, "A")), [KeepAlive(named, timezone.now())]]

    assert record(CUSTOM, *batches) == ["1", expected]

    position = Position.objects.get()
    assert position.position_token == position.replay_id == expected
    assert (position.named_at is not None) == bool(named)


def test_lost_commits_are_noticed_when_nothing_follows(custom):
    custom.record(part(1, "001A"))
    older = Position.objects.values().get()
    custom.record(part(1, "001B"))
    nothing = KeepAlive("", timezone.now())
    rewind(older)
    with pytest.raises(CommitsLost):
        move_to_keep_alive(custom.lease, nothing, custom.position_token)

    rewind({"replay_id": "", "newest_id": "1", "newest_batches": 2})
    move_to_keep_alive(custom.lease, nothing, custom.position_token)
    move_to_keep_alive(
        custom.lease, nothing, custom.position_token
    )  # the answer to the commit was lost

    assert custom.position.position_token == "1"


def test_forgetting_a_position_forgets_its_newest_id_and_notices_that_it_moved(custom):
    custom.record(part(1, "001A"))
    as_read = custom.position
    custom.record(part(2, "001A"))
    Position.objects.update(replay_id=as_read.replay_id)

    assert not listener_control.forget(as_read)
    assert listener_control.forget(custom.position)

    assert not custom.position.has_begun


# The receiving thread


@pytest.fixture
def receive():
    """Starts a receiver of a custom channel on a scripted server, without a recorder."""
    with ExitStack() as ending:

        def start(server: ScriptedPubSub) -> tuple[Receiver, Buffer]:
            fields = {"transport": "pubsub", "pubsub_endpoint": server.endpoint}
            listener = make_listener(channel=CUSTOM, **fields)
            lease, buffer = lease_of(listener), Buffer(10)
            tokens: Any = NumberedTokens()
            Position.objects.update(replay_id="1", newest_id="2", newest_batches=3)
            receiver = Receiver(listener, lease, tokens, stream_for(listener, tokens), buffer)
            ending.callback(wait_for, lambda: not receiver.thread.is_alive())
            ending.callback(buffer.close)
            ending.callback(receiver.allow_disconnect)
            ending.callback(receiver.stop)
            receiver.thread.start()
            return receiver, buffer

        yield start


def test_a_new_subscription_begins_before_the_newest_id_and_expects_its_events_again(receive):
    with ScriptedPubSub(playing(batch(2, 2))) as server:
        receiver, buffer = receive(server)
        assert buffer.wait(20)

        assert receiver.opened_at
        position = Position.objects.get()
        assert buffer.expected_position == position.position_token == position.replay_id == "1"


@pytest.mark.parametrize("is_held_back", [True, False])
def test_two_answers_without_a_change_move_a_position_that_is_held_back(receive, is_held_back):
    nothing = wire.FetchResponse(pending_num_requested=100)
    answers = queue.SimpleQueue()

    def script(call):
        yield from iter(answers.get, None)
        call.until_hung_up()

    with ScriptedPubSub(script) as server, ExitStack() as ending:
        ending.callback(answers.put, None)
        receiver, buffer = receive(server)
        wait_for(lambda: receiver.status.state == Position.State.RECEIVING)
        buffer.is_held_back = is_held_back
        first_at = receiver.last_received_at
        answers.put(nothing)
        wait_for(lambda: receiver.last_received_at != first_at)  # a poll of its own
        answers.put(nothing)
        wait_for(lambda: receiver.caught_up_at)
        answers.put(batch(3, 3))

        first = buffer.take(1, 0)[0]

        assert isinstance(first, KeepAlive) == is_held_back
        assert not is_held_back or first.replay_id == ""
