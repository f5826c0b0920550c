"""While an upgrade goes on, listeners and workers of two versions share a database and a broker."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from cdcproject.celery import app
from consumer import relay
from handlers import formats
from handlers.models import Delivery, Worker
from tests.handlers.bundling import deliver, messages, publish
from tests.sample_handlers import read_journal
from tests.servers import wait_for

COUNT = 64
REFUSAL = "unexpected keyword argument 'delivery_ids'"
FORMAT_1 = (Path(__file__).parent / "message_format_1.json").read_text()
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_known_of_workers():
    formats.forget()
    yield
    formats.forget()


@pytest.fixture
def previous_worker(processes):
    """Starts a worker of the version before messages of many deliveries."""

    def start():
        modules = f"{os.environ['CDC_HANDLER_MODULES']},tests.upgrades.previous_version"
        worker = processes.worker(CDC_HANDLER_MODULES=modules)
        wait_for(Worker.objects.exists)
        return worker

    return start


def _end(ids):
    wait_for(lambda: not Delivery.objects.filter(pk__in=ids).exclude(state="succeeded").exists())


def _send_as_before(pk: int) -> None:
    """A message of the previous version's listener."""
    message = json.loads(FORMAT_1.replace('"DELIVERY"', str(pk)).replace("DELIVERY", str(pk)))
    with app.producer_or_acquire() as producer:
        producer.publish(
            message["body"], routing_key="cdc", serializer="json", headers=message["headers"],
            correlation_id=message["headers"]["id"],
        )  # fmt: skip


def test_listeners_may_be_newer_than_workers(listener, processes, previous_worker):
    first = deliver(listener, "tests.remember", COUNT)
    publish(first)  # no worker is seen: in messages of many
    assert max(map(len, messages())) > 1

    worker = previous_worker()
    worker.wait_for_output(REFUSAL)
    wait_for(lambda: not messages())
    formats.forget()
    relay.requeue_lost(timezone.now() + timedelta(minutes=1))

    _end(first)
    refusals = worker.output.count(REFUSAL)
    second = deliver(listener, "tests.remember", COUNT)
    publish(second)
    _end(second)
    assert worker.output.count(REFUSAL) == refusals
    assert len(read_journal()) == 2 * COUNT


def test_workers_may_be_newer_than_listeners(listener, processes):
    ids = deliver(listener, "tests.remember", 2)
    Delivery.objects.update(state="queued", queued_at=timezone.now())
    for pk in ids:
        _send_as_before(pk)

    processes.worker()

    _end(ids)
    assert len(read_journal()) == 2
    wait_for(lambda: Worker.objects.filter(message_format=formats.NEWEST).exists())
    many = deliver(listener, "tests.remember", COUNT)
    publish(many)
    _end(many)
