"""On Redis, reports stay in their queue until they are settled, and one courier at a time reads."""

import time
from types import SimpleNamespace

import pytest
import redis

from cdcproject.celery import app
from consumer.host.couriers import CourierReader
from handlers.tracking import redis_reports
from handlers.tracking.courier import Courier
from handlers.tracking.redis_reports import LOCK_SECONDS
from handlers.tracking.reports import reports_queue
from handlers.tracking.tokens import Reported, issue
from tests.handlers.tracking.reporting import report, say
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
    pytest.mark.usefixtures("held_locks"),
]

LOCK = "cdc.reports.reader"


@pytest.fixture
def client(scene):
    with redis.Redis.from_url(scene.destination.broker.reveal()) as client:
        yield client


@pytest.fixture
def couriers(scene):
    """The queue as two couriers read it."""
    first, second = Courier(scene.destination), Courier(scene.destination)
    with first.reading() as one, second.reading() as other:
        yield one, other


def bodies(messages):
    return [bytes(message.body) for message in messages]


def test_a_report_stays_in_its_queue_until_it_is_acknowledged(scene, couriers):
    queue, _ = couriers
    say(scene, "[1]", "[2]")

    assert bodies(queue.read()) == [b"[1]", b"[2]"]
    say(scene, "[3]")
    assert scene.waiting_reports() == 3
    queue.acknowledge()

    assert scene.waiting_reports() == 1
    assert bodies(queue.read()) == [b"[3]"]


def test_one_courier_reads_at_a_time(scene, couriers):
    first, second = couriers
    say(scene, "[1]")
    assert bodies(first.read()) == [b"[1]"]

    say(scene, "[2]")
    assert second.read() == []
    first.acknowledge()

    assert bodies(second.read()) == [b"[2]"]


def test_a_courier_that_paused_for_long_removes_nothing_that_another_reads(
    scene, couriers, client, monkeypatch
):
    monkeypatch.setattr(redis_reports, "LOCK_SECONDS", 1)
    paused, other = couriers
    say(scene, "[1]")
    assert bodies(paused.read()) == [b"[1]"]
    monkeypatch.setattr(redis_reports, "LOCK_SECONDS", 600)
    assert bodies(wait_for(other.read)) == [b"[1]"]

    paused.acknowledge()

    assert scene.waiting_reports() == 1
    assert paused.read() == []
    other.acknowledge()
    assert scene.waiting_reports() == 0


@pytest.mark.parametrize("loss", ["flush", "purge"])
def test_reports_that_came_after_a_loss_are_not_removed(scene, couriers, client, loss):
    """The broker is flushed, or its queue is purged, while a courier settles reports."""
    queue, other = couriers
    say(scene, "[1]", "[2]")
    assert len(queue.read()) == 2
    client.flushall() if loss == "flush" else client.delete(reports_queue())
    say(scene, "[3]")

    queue.acknowledge()

    assert bodies(wait_for(other.read)) == [b"[3]"]


def test_another_process_continues_after_a_stop(scene, sent, client):
    stopped = CourierReader(scene.destination)
    stopped.start()
    say(scene, report(issue(sent, 7, Reported.SUCCEEDED)))
    wait_for(lambda: scene.counted("late") == 1)
    stopped.stop()
    stopped.thread.join(PATIENCE_SECONDS)

    assert not stopped.thread.is_alive()
    assert not client.exists(LOCK)
    say(scene, report(issue(sent, 1, Reported.SUCCEEDED)))
    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)


def test_a_killed_courier_holds_others_up_for_some_seconds_only(scene, sent, client, monkeypatch):
    monkeypatch.setattr(redis_reports, "LOCK_SECONDS", LOCK_SECONDS)
    say(scene, report(issue(sent, 1, Reported.SUCCEEDED)))
    with Courier(scene.destination).reading() as killed:
        assert len(killed.read()) == 1
        assert client.ttl(LOCK) in {-2, *range(11)}  # -2: it has just expired

        with scene.reading() as handle:
            scene.wait_for_count("settled", 1, handle)

    assert scene.states == ["succeeded"]
    assert scene.waiting_reports() == 0


def test_reports_of_all_priorities_are_read_the_oldest_first(scene, couriers):
    queue, _ = couriers
    for priority in (9, 6, 3, 0):
        say(scene, f"[{priority}]", f"[{priority}, 2]", priority=priority)

    read = bodies(queue.read())
    queue.acknowledge()

    expected = [body % n for n in (0, 3, 6, 9) for body in (b"[%d]", b"[%d, 2]")]
    assert read == expected
    assert scene.waiting_reports() == 0


def test_a_batch_is_limited(scene, couriers, monkeypatch):
    monkeypatch.setattr(redis_reports, "BATCH", 3)
    queue, _ = couriers
    say(scene, "[1]", "[2]", priority=0)
    say(scene, "[3]", "[4]", "[5]", "[6]", priority=9)

    assert bodies(queue.read()) == [b"[1]", b"[2]", b"[3]"]
    queue.acknowledge()
    assert queue.unseen_seconds() == float("inf")
    assert bodies(queue.read()) == [b"[4]", b"[5]", b"[6]"]
    queue.acknowledge()
    assert queue.read() == []
    assert queue.unseen_seconds() < 30


def test_a_courier_pauses_longer_after_more_reports_and_after_none(scene, couriers, monkeypatch):
    pauses = []
    monkeypatch.setattr(
        redis_reports, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic)
    )
    monkeypatch.setattr(redis_reports, "BATCH", 80)
    queue, _ = couriers
    for number in (1, 20, 79, 80, 3):
        say(scene, *[f"[{n}]" for n in range(number)])
        assert len(queue.read()) == number
        queue.acknowledge()
    for _ in range(5):
        assert queue.read() == []

    # None after the 80, which filled a batch.
    assert pauses == pytest.approx([0.01, 0.01, 0.04, 0.1, 0.01, 0.02, 0.04, 0.08, 0.1])


def test_keys_have_the_prefix_that_a_site_gives_its_broker(scene, client):
    with app.connection_for_read(
        url=scene.destination.broker.reveal(),
        transport_options={"global_keyprefix": "site."},
    ) as connection:
        queue = redis_reports.RedisReports(connection.default_channel)
        connection.SimpleQueue(reports_queue()).put([1])
        assert client.llen(f"site.{reports_queue()}") == 1

        assert [message.payload for message in queue.read()] == [[1]]
        assert client.exists(f"site.{LOCK}")
        queue.acknowledge()

    assert not client.exists(f"site.{reports_queue()}", f"site.{LOCK}")


def test_items_that_are_no_messages_are_forged(scene, sent, client):
    items = [
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"properties": {}}',
        b'{"properties": 7}',
        b'{"properties": {"delivery_tag": 1, "body_encoding": "unknown"}, "body": "x"}',
        b'{"properties": {"delivery_tag": 1, "body_encoding": "base64"}, "body": "x"}',
        b'{"properties": {"delivery_tag": 1, "body_encoding": []}, "body": {"x": 1}}',
        b'{"properties": {"delivery_tag": 1}, "headers": [1], "body": 7}',
        b"[" * 100_000,
        b"9" * 100_000,
    ]
    client.lpush(reports_queue(), *items)
    say(scene, report(issue(sent, 1, Reported.SUCCEEDED)))

    with scene.reading() as handle:
        scene.wait_for_count("settled", 1, handle)

    assert scene.counted("forged") == len(items)
    assert scene.waiting_reports() == 0
