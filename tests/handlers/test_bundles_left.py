"""Deliveries left over from a message are published again: the worker's time ran out, or the broker
lost the message."""

from datetime import timedelta

import pytest
from django.utils import timezone

from cdcproject.celery import app
from consumer import relay
from handlers.models import Delivery, DeliveryAttempt
from handlers.outbox.handover import READY_AGE
from handlers.worker import claim, message_run
from handlers.worker.claim import CLAIM_SECONDS, RunTime
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import deliver, messages, publish, states

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def test_when_the_time_of_a_message_is_over_the_rest_is_published_again(listener, monkeypatch):
    monkeypatch.setattr(message_run, "MESSAGE_SECONDS", 0)
    ids = deliver(listener, "tests.remember", 6)

    assert run_deliveries(ids, "tests.remember") == "succeeded"

    assert messages() == [[pk] for pk in ids[1:]]
    rows = Delivery.objects.order_by("id").values_list("state", "attempts")
    assert list(rows)[1:] == [("queued", 0)] * 5


def test_the_rest_is_published_in_messages_of_as_many_as_this_one_ended(listener, monkeypatch):
    """This is the number that fits into the time of a message."""
    ids = deliver(listener, "tests.remember", 9)
    monkeypatch.setattr(message_run, "LATE_SECONDS", 10_000)  # the watchdog has that clock, too
    monkeypatch.setattr(
        message_run,
        "monotonic",
        lambda: 400.0 * Delivery.objects.filter(state="succeeded").count(),
    )

    assert run_deliveries(ids, "tests.remember") == "3 succeeded"

    assert messages() == [ids[3:6], ids[6:]]


def test_what_is_left_waits_for_the_relay_while_the_broker_is_away(listener, broker, monkeypatch):
    monkeypatch.setattr(message_run, "MESSAGE_SECONDS", 0)
    ids = deliver(listener, "tests.remember", 6)
    publish(ids)
    broker.stop()
    try:
        run_deliveries(ids, "tests.remember")
    finally:
        broker.start()

    assert states() == ["succeeded", *["ready"] * 5]
    assert relay.publish_due(timezone.now() + 2 * READY_AGE) == 5


def test_an_ending_that_cannot_be_written_down_keeps_no_other_from_it(listener):
    ids = deliver(listener, "tests.remember", 4)
    now = timezone.now()
    Delivery.objects.filter(pk=ids[0]).update(attempts=1)
    there = DeliveryAttempt(delivery_id=ids[0], number=2, started_at=now, finished_at=now)
    there.save()

    assert run_deliveries(ids, "tests.remember") == "3 succeeded, 1 claim lost"

    assert states() == ["running", *["succeeded"] * 3]

    Delivery.objects.filter(pk=ids[3]).update(state="running", claim_deadline=now, attempts=2)
    later = timezone.now() + timedelta(hours=1)
    assert relay.reclaim(later) == 1
    assert states() == ["running", "succeeded", "succeeded", "retrying"]


@pytest.fixture
def published(listener):
    """Four messages of four deliveries each."""
    ids = deliver(listener, "tests.remember", 16)
    publish(ids, size=4)
    return ids


def drop_messages(count):
    with app.connection_for_write() as broker:
        for _ in range(count):
            assert broker.default_channel.client.rpop("cdc")


def test_the_relay_waits_until_the_queue_is_empty(published):
    later = timezone.now() + 10 * READY_AGE
    drop_messages(1)
    assert relay.requeue_lost(later) == 0

    for ids in messages():
        run_deliveries(ids, "tests.remember")
    drop_messages(3)

    assert relay.requeue_lost(later) == 4
    assert [pk for ids in messages() for pk in ids] == published[:4]


def test_the_relay_finds_all_of_a_message_that_was_begun(published):
    later = timezone.now() + 10 * READY_AGE
    run_deliveries(published[:3], "tests.remember")
    drop_messages(4)

    assert relay.requeue_lost(later) == 13


def test_as_many_are_claimed_as_are_done_soon(monkeypatch):
    monkeypatch.setattr(claim, "CLAIM_SECONDS", CLAIM_SECONDS)
    run_time = RunTime()
    assert run_time.size(100) == 1
    assert run_time.size(100) == 1  # while nothing is known

    run_time.note(0.001)
    assert [run_time.size(100) for _ in range(7)] == [2, 4, 8, 16, 32, 50, 50]
    assert run_time.size(3) == 3
    assert run_time.size(100) == 50

    run_time.note(10)
    assert run_time.size(100) == 1
