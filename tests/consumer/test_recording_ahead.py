"""Recording a backlog looks up no entries that cannot exist yet, and decodes the next batch while
the database works."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.log.record import LOOKUP_ROWS, record
from audit.models import AuditLogEntry, Quarantined
from consumer.ingest.entry import entry_of
from consumer.ingest.quarantine import keep
from consumer.ingest.transaction import ingest
from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from handlers.models import Delivery
from listeners.models import Position
from listeners.salesforce.decode import decode
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

MANY = LOOKUP_ROWS + 10


def changes(first: int, count: int = MANY) -> list[dict[str, Any]]:
    numbers = range(first, first + count)
    return [change(records=[f"001{number}"], replay=number) for number in numbers]


def recorded() -> list[str]:
    return list(AuditLogEntry.objects.order_by("id").values_list("replay_id", flat=True))


def test_entries_that_cannot_exist_yet_are_not_looked_up(listener):
    with CaptureQueriesContext(connection) as queries:
        ingest(listener, lease_of(listener), received(*changes(1)), expect_repeats=False)

    looked = [one["sql"] for one in queries if one["sql"].startswith("SELECT")]
    assert not [sql for sql in looked if "transaction_key" in sql and "WHERE" in sql]
    assert len(recorded()) == MANY


@pytest.mark.parametrize("place", [0, MANY // 2, MANY - 1])
def test_what_is_there_all_the_same_adds_nothing(listener, place):
    lease, messages, mapping = lease_of(listener), changes(1), make_mapping(listener)
    ingest(listener, lease, received(messages[place]), [mapping])
    given = [*messages, messages[-1]]

    result = ingest(listener, lease, received(*given), [mapping], expect_repeats=False)

    assert (result.entries, result.repeated) == (MANY - 1, 2)
    others = [str(number) for number in range(1, MANY + 1) if number != place + 1]
    assert recorded() == [str(place + 1), *others]
    assert Delivery.objects.count() == MANY
    assert Position.objects.get().replay_id == str(MANY)


def test_what_else_the_database_refuses_is_not_taken_for_known(listener):
    events = [event for message in changes(1) for event in decode(message)]
    entries = [entry_of(listener, event, timezone.now()) for event in events]
    entries[-1].record_count = -1

    with pytest.raises(IntegrityError), transaction.atomic():
        record(entries, expect_repeats=False)

    assert not recorded()


@pytest.fixture
def record_all(listener, settings):
    """Records a backlog in batches of `MANY`, and returns the number of new changes."""
    settings.CDC_BATCH_MAX = MANY

    def run(messages: list[dict[str, Any]]) -> int:
        buffer = Buffer(len(messages))
        buffer.put(received(*messages))
        buffer.close()
        recorder = Recorder(listener, lease_of(listener), buffer, Publisher())
        recorder.thread.start()
        wait_for(lambda: not recorder.thread.is_alive())
        assert buffer.outstanding == 0
        return recorder.recorded

    return run


def test_a_backlog_with_repeats_anywhere_is_recorded_once_and_in_order(record_all):
    messages = changes(1, 5 * MANY)
    repeated = [*messages[: 2 * MANY], *messages[MANY:], *messages[:3], messages[-1]]

    assert record_all(repeated) == 5 * MANY
    assert recorded() == [str(number) for number in range(1, 5 * MANY + 1)]


@pytest.mark.parametrize("place", [MANY, 2 * MANY - 1])
def test_what_cannot_be_decoded_ahead_is_quarantined_in_its_turn(record_all, place):
    messages = changes(1, 3 * MANY)
    del messages[place]["data"]["payload"]["ChangeEventHeader"]["entityName"]

    assert record_all(messages) == 3 * MANY - 1
    assert Quarantined.objects.get().replay_id == str(place + 1)
    assert str(place + 1) not in recorded()


class Watched(dict[str, Any]):
    """A message that knows whether it was read inside a transaction."""

    def get(self, *names):
        self.inside = [*getattr(self, "inside", []), connection.in_atomic_block]
        return super().get(*names)


def test_the_next_batch_is_decoded_while_a_server_works_at_this_one(record_all):
    first, second = Watched(change(replay=1)), Watched(change(replay=MANY + 1))

    record_all([first, *changes(2, MANY - 1), second])

    is_server = connection.vendor == "postgresql"
    assert (set(first.inside), set(second.inside)) == ({False}, {is_server})


def test_a_part_of_a_batch_that_was_recorded_is_not_recorded_again_after_an_error(
    listener, monkeypatch
):
    """A bad message divides a batch into several transactions, each retried by itself."""
    lease, errors = lease_of(listener), [OperationalError("server closed the connection")]
    messages = changes(1, 5)
    del messages[3]["data"]["payload"]["ChangeEventHeader"]["entityName"]
    buffer = Buffer(10)
    buffer.put(received(*messages))
    buffer.expected_position = ""
    buffer.close()

    def fail_once(*args):
        if errors:
            raise errors.pop()
        return keep(*args)

    monkeypatch.setattr("consumer.ingest.transaction.keep", fail_once)
    recorder = Recorder(listener, lease, buffer, Publisher())
    recorder.thread.start()
    wait_for(lambda: not recorder.thread.is_alive())

    assert not errors
    assert recorded() == ["1", "2", "3", "5"]
    assert Quarantined.objects.get().replay_id == "4"
    assert Position.objects.get().replay_id == "5"


def test_it_says_for_how_long_a_batch_is_uncommitted(listener, monkeypatch):
    monkeypatch.setattr("consumer.stream.recorder.STUCK_SECONDS", 3600.0)
    may_commit = threading.Event()

    def wait_and_ingest(*args, **options):
        assert may_commit.wait(30)
        return ingest(*args, **options)

    monkeypatch.setattr("consumer.stream.recorder.ingest", wait_and_ingest)
    buffer = Buffer(10)
    buffer.put(received(*changes(1, 1)))
    recorder = Recorder(listener, lease_of(listener), buffer, Publisher())
    recorder.thread.start()
    try:
        wait_for(lambda: recorder.blocked_for > 0)
        assert not recorder.is_stuck
    finally:
        may_commit.set()
        buffer.close()
    wait_for(lambda: not recorder.thread.is_alive())
    assert recorder.blocked_for == 0
    assert recorded() == ["1"]
