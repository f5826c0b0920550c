"""A queue that another project declared with its own arguments accepts the product's messages."""

import amqp
import pytest
from celery import current_app

from handlers.messages import unknown_tasks
from handlers.outbox import publish
from handlers.tracking.transmit import Sent, transmit
from handlers.types import Message
from tests.brokers import empty, using

pytestmark = pytest.mark.anywhere

QUEUE = "special"


@pytest.fixture
def any_broker(any_broker):
    with using(any_broker.url):
        yield any_broker
    if any_broker.kind == "rabbitmq":
        empty(any_broker.url, [QUEUE])


@pytest.fixture
def queue_with_priorities(any_broker):
    if any_broker.kind != "rabbitmq":
        pytest.skip("queues of Redis have no arguments")
    empty(any_broker.url, [QUEUE])
    address = any_broker.url.partition("@")[2].rstrip("/")
    with amqp.Connection(address) as connection:
        connection.channel().queue_declare(
            QUEUE, durable=True, auto_delete=False, arguments={"x-max-priority": 10}
        )
    return QUEUE


def message(*, is_external: bool = True) -> Message:
    return Message([1], 0, "shop.sync", QUEUE, {"event": {}}, is_external=is_external)


def send() -> None:
    sent = Sent()
    transmit(current_app._get_current_object(), [message()], sent)
    assert (len(sent.arrived), sent.failure) == (1, None)


def test_a_change_reaches_a_queue_with_arguments_of_its_own(any_broker, queue_with_priorities):
    send()

    assert any_broker.waiting(QUEUE) == 1


def test_kept_messages_are_sent_on_to_a_queue_with_arguments_of_its_own(
    any_broker, queue_with_priorities
):
    any_broker.send_raw("cdc.unknown", b"[]", headers={"task": "shop.sync", "id": "order-1"})

    assert unknown_tasks.send_on(QUEUE) == {"shop.sync": 1}

    assert any_broker.waiting(QUEUE) == 1


def test_a_change_reaches_a_queue_that_is_not_there_yet(any_broker):
    publish.declare(current_app, {QUEUE})
    send()

    assert any_broker.waiting(QUEUE) == 1


@pytest.mark.parametrize("is_external", [True, False])
def test_a_worker_does_not_listen_to_a_queue_because_it_sent_something_there(
    any_broker, is_external
):
    if is_external:
        send()
    else:
        publish.send([message(is_external=False)])

    assert set(current_app.amqp.queues.consume_from) == {"cdc"}
