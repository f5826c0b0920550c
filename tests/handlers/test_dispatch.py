"""The outbox publishes deliveries to the broker."""

import itertools
import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from kombu import pools

from cdcproject.celery import app
from consumer.ingest.transaction import ingest
from handlers.broker import BrokerUnavailable, queue_length
from handlers.models import Delivery
from handlers.outbox import handover, publish
from handlers.tracking import messages, untracked
from handlers.tracking.messages import message_of
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


def messages_in(queue):
    """Return the headers and arguments of each waiting message, oldest first."""
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        raw = [json.loads(text) for text in reversed(client.lrange(queue, 0, -1))]
    decode = app.connection_for_read().default_channel.decode_body
    return [{**m["headers"], "kwargs": json.loads(decode(m["body"], "base64"))[1]} for m in raw]


def ready(listener, mapping, *messages):
    """Record messages and leave their deliveries unpublished, as a process that died."""
    changes = received(*(messages or [change()]))
    ids = ingest(listener, lease_of(listener), changes, [mapping]).to_publish.ids
    handover.take_back(timezone.now() + timedelta(minutes=1))
    return ids


def test_it_publishes_ids_and_marks_them_queued(listener, broker):
    records = [change(records=[f"001{n}"]) for n in range(5)]
    ids = ready(listener, make_mapping(listener), *records)

    assert publish.publish(ids, timezone.now()) == 5

    sent = messages_in("cdc")
    assert [m["kwargs"] for m in sent] == [{"delivery_ids": [pk]} for pk in ids]
    assert {m["task"] for m in sent} == {"tests.remember"}
    assert sent[0]["id"] == f"delivery-{ids[0]}-1"
    assert Delivery.objects.counts() == {"queued": 5}


def test_the_queue_is_the_mappings_then_the_handlers(listener, broker):
    by_handler = ready(listener, make_mapping(listener, handler="tests.one_try"))
    by_mapping = ready(
        listener, make_mapping(listener, handler="tests.one_try", queue="crm"), change()
    )

    publish.publish([*by_handler, *by_mapping], timezone.now())

    assert [m["kwargs"]["delivery_ids"] for m in messages_in("special")] == [by_handler]
    assert [m["kwargs"]["delivery_ids"] for m in messages_in("crm")] == [by_mapping]


def test_a_task_that_runs_elsewhere_is_sent_the_event_and_not_tracked(listener, broker):
    mapping = make_mapping(listener, handler="", task="elsewhere.sync", track=False, queue="crm")
    ids = ready(listener, mapping, change(data={"Name": "Ärger", "Phone": None}))

    publish.publish(ids, timezone.now())

    [sent] = messages_in("crm")
    event = sent["kwargs"]["event"]
    assert sent["task"] == "elsewhere.sync"
    assert event["changedData"] == {"Name": "Ärger", "Phone": None}
    assert event["metadata"]["entityName"] == "Account"
    assert Delivery.objects.get().state == "sent"


def test_two_who_publish_at_once_send_it_elsewhere_once(listener, broker, monkeypatch):
    ids = ready(listener, make_mapping(listener, handler="", task="elsewhere.sync", track=False))
    others = []

    def reach(point):
        if point == "sent" and not others:  # sent, and not marked yet
            others.append(True)
            publish.publish(ids, timezone.now())

    monkeypatch.setattr("listeners.crash_points.reach", reach)

    publish.publish(ids, timezone.now())

    assert others
    assert len(messages_in("celery")) == 1


def test_composing_that_outlasts_its_claim_sends_nothing_a_second_time(
    listener, broker, monkeypatch
):
    ids = ready(listener, make_mapping(listener, handler="", task="elsewhere.sync", track=False))
    others = []

    def compose_slowly(*args, **kwargs):
        if not others:
            others.append(True)
            publish.publish(ids, timezone.now() + timedelta(seconds=61))
        return message_of(*args, **kwargs)

    monkeypatch.setattr(untracked, "message_of", compose_slowly)

    publish.publish(ids, timezone.now())

    assert others
    assert len(messages_in("celery")) == 1


def test_a_payload_that_cannot_be_composed_is_a_dead_letter(listener, broker, monkeypatch):
    ids = ready(listener, make_mapping(listener, handler="", task="elsewhere.sync", track=False))
    monkeypatch.setattr(messages, "payload_of", lambda *_: 1 / 0)

    publish.publish(ids, timezone.now())

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.error) == (
        "dead",
        "ZeroDivisionError: division by zero",
    )
    assert messages_in("celery") == []


def test_what_is_not_marked_as_sent_is_sent_again_after_a_while(listener, broker):
    ids = ready(listener, make_mapping(listener, handler="", task="elsewhere.sync", track=False))
    now = timezone.now()
    Delivery.objects.claim_sending(ids, now)  # and then its process died

    assert publish.publish(ids, now + timedelta(seconds=1)) == 0
    assert publish.publish(ids, now + timedelta(seconds=61)) == 1


def test_deliveries_of_an_unregistered_handler_wait(listener, broker):
    ids = ready(listener, make_mapping(listener, handler="not.there"))

    assert publish.publish(ids, timezone.now()) == 0

    assert Delivery.objects.get().state == "ready"


def test_an_ended_delivery_is_not_published(listener, broker):
    ids = ready(listener, make_mapping(listener))
    Delivery.objects.update(state="succeeded")

    assert publish.publish(ids, timezone.now()) == 0
    assert messages_in("cdc") == []


def test_it_refuses_to_publish_inside_a_transaction(listener, broker):
    ids = ready(listener, make_mapping(listener))

    with transaction.atomic(), pytest.raises(RuntimeError, match="after the commit"):
        publish.publish(ids, timezone.now())


def test_a_broker_that_is_away_leaves_everything_ready_until_it_is_back(listener, broker):
    ids = ready(listener, make_mapping(listener))
    ids += ready(listener, make_mapping(listener, handler="", task="elsewhere.sync", track=False))
    broker.stop()
    try:
        with pytest.raises(BrokerUnavailable):
            publish.publish(ids, timezone.now())
        assert Delivery.objects.counts() == {"ready": 2}
    finally:
        broker.start()

    assert publish.publish(ids, timezone.now()) == 2


@pytest.fixture
def new_pools(broker):
    """Open new connections, here and in the tests that follow."""
    reset_pools()
    yield
    reset_pools()


def reset_pools() -> None:
    pools.reset()
    app._pool = app.amqp._producer_pool = None


def test_a_broker_that_is_away_is_not_waited_for(listener, broker, new_pools, monkeypatch):
    ids, pauses = ready(listener, make_mapping(listener)), []
    broker.stop()
    try:
        monkeypatch.setattr("kombu.utils.functional.sleep", pauses.append)
        with pytest.raises(BrokerUnavailable):
            publish.publish(ids, timezone.now())
    finally:
        broker.start()

    assert pauses == []


def test_an_address_that_takes_long_does_not_hide_the_next(
    listener, new_pools, monkeypatch, tmp_path
):
    ids = ready(listener, make_mapping(listener))
    with RedisServer(tmp_path) as server:
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"redis://127.0.0.1:1/0;{server.url}")
        monkeypatch.setattr("kombu.utils.functional.time", itertools.count(step=60).__next__)

        assert publish.publish(ids, timezone.now()) == 1


def test_a_worker_waits_for_its_broker():
    """Otherwise it would end when it loses the connection between two steps of its start."""
    worker = [app.connection_for_read(), app.connection_for_write(heartbeat=60.0)]

    for connection in worker:
        assert "max_retries" not in connection.transport_options


def test_the_length_of_a_queue_is_returned(listener, broker):
    ids = ready(listener, make_mapping(listener))
    publish.publish(ids, timezone.now())

    assert queue_length("cdc") == 1
    assert queue_length("no such queue") == 0


def test_a_retry_is_not_published_before_it_is_due(listener, broker):
    ids = ready(listener, make_mapping(listener))
    due = timezone.now() + timedelta(hours=1)
    Delivery.objects.update(state="retrying", attempts=1, due_at=due)

    assert publish.publish(ids, timezone.now()) == 0

    assert Delivery.objects.get().state == "retrying"
