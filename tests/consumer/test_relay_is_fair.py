"""Deliveries that wait for one broker do not delay those for another."""

import itertools
from datetime import timedelta

import pytest
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from consumer.stream.publisher import Publisher
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Delivery, Destination
from handlers.outbox import handover, publish
from tests.brokers import using
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import RedisServer, free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]

LIMIT = 3
_records = itertools.count()


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(relay, "LIMIT", LIMIT)


@pytest.fixture
def answering(tmp_path, patient):
    with RedisServer(tmp_path) as server:
        yield Destination.objects.create(name="answering", broker=server.url)
    apps.forget()


@pytest.fixture
def own_broker_is_down():
    with using(f"redis://127.0.0.1:{free_port()}/0"):
        yield


def to_task(listener, destination, on):
    return make_mapping(listener, on, handler="", task="shop.sync", destination=destination)


def record(listener, kind, number=1):
    """Record changes of different records; return what is to be published."""
    changes = [change(kind, [f"001{next(_records):012}AAA"]) for _ in range(number)]
    mappings = list(listener.mappings.all())
    return ingest(listener, lease_of(listener), received(*changes), mappings).to_publish


def states(**fields):
    return list(Delivery.objects.filter(**fields).order_by("id").values_list("state", flat=True))


def waiting(state, now):
    """Let all deliveries wait for the relay, in the order of their ids."""
    for number, pk in enumerate(Delivery.objects.order_by("id").values_list("pk", flat=True)):
        due_at = now - timedelta(hours=1) + timedelta(seconds=number)
        Delivery.objects.filter(pk=pk).update(state=state, queued_at=None, due_at=due_at)


@pytest.mark.parametrize("state", ["ready", "retrying"])
def test_our_broker_that_is_down_holds_up_no_destination(
    listener, answering, own_broker_is_down, state
):
    make_mapping(listener)
    to_task(listener, answering, "update")
    record(listener, "CREATE", LIMIT + 1)
    record(listener, "UPDATE")
    late = timezone.now() + timedelta(minutes=1)
    waiting(state, late)

    with pytest.raises(BrokerUnavailable):
        relay.publish_due(late)

    assert states(is_external=True) == ["queued"]


def test_the_backlog_of_a_destination_holds_up_nothing_else(
    listener, answering, broker, monkeypatch
):
    """The sender of the one has more than it can send, and is offered it again and again."""
    slow = Destination.objects.create(name="slow", broker="redis://127.0.0.1:1/0")
    to_task(listener, slow, "create")
    to_task(listener, answering, "update")
    make_mapping(listener, "delete")
    record(listener, "CREATE", LIMIT + 1)
    record(listener, "UPDATE")
    record(listener, "DELETE")
    late = timezone.now() + timedelta(minutes=1)
    waiting("ready", late)
    offered = []
    monkeypatch.setattr(publish, "senders", [lambda ids, _: offered.extend(ids) or 0])

    relay.publish_due(late)

    to_slow = Delivery.objects.filter(mapping__destination=slow).order_by("id")
    to_other = Delivery.objects.get(mapping__destination=answering)
    assert offered == [*to_slow.values_list("pk", flat=True)[:LIMIT], to_other.pk]
    assert states(is_external=False) == ["queued"]


def test_what_is_recorded_while_our_broker_is_down_is_sent_at_once(
    listener, answering, own_broker_is_down
):
    make_mapping(listener)
    to_task(listener, answering, "create")
    to_publish = record(listener, "CREATE")

    with pytest.raises(BrokerUnavailable):
        handover.publish(to_publish, timezone.now())

    assert states(is_external=True) == ["queued"]
    assert Delivery.objects.get(is_external=True).attempts == 1


def test_the_publisher_pauses_for_our_broker_alone(listener, answering, own_broker_is_down):
    make_mapping(listener)
    to_task(listener, answering, "create")
    publisher = Publisher()
    publisher.thread.start()
    for number in (1, 2):
        publisher.publish(record(listener, "CREATE"))
        wait_for(lambda n=number: states(is_external=True, attempts=1) == ["queued"] * n)
    publisher.stop()
    publisher.thread.join()
