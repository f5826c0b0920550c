"""A worker keeps messages of unknown tasks, and they can be published again."""

from collections import Counter

import pytest

from audit.models import Incident
from consumer.monitoring.checks import watch
from handlers.messages import unknown_tasks
from tests.brokers import using
from tests.commands.running import run
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

HEADERS = {
    "lang": "py", "task": "shop.sync", "id": "order-1", "root_id": "order-1", "parent_id": None,
    "group": None, "shop": "north", "retries": 0,
}  # fmt: skip
BODY = b'[[1, "two"], {"three": null}, {"callbacks": null, "errbacks": null}]'


@pytest.fixture
def worker(processes, any_broker):
    started = processes.worker(**any_broker.environment)
    with using(any_broker.url):
        yield started


def send(any_broker, queue="cdc", compression=None, properties=None, **headers):
    any_broker.send_raw(
        queue, BODY, headers={**HEADERS, **headers}, content_type="application/json",
        content_encoding="utf-8", priority=3, correlation_id="order-1", reply_to="shop.answers",
        compression=compression, **(properties or {}),
    )  # fmt: skip


def read(any_broker, queue):
    with any_broker.connection() as connection:
        message = connection.SimpleQueue(queue).get(timeout=10)
        message.ack()
    return message


def body_of(message) -> bytes:
    """Return the message's body as bytes; RabbitMQ's library returns some as text."""
    return message.body if isinstance(message.body, bytes) else message.body.encode()


def test_the_message_is_kept_unchanged_with_an_incident(worker, any_broker):
    send(any_broker)

    wait_for(lambda: any_broker.waiting("cdc.unknown") == 1, what="a kept message")
    wait_for(Incident.objects.exists, what="the incident")
    incident = Incident.objects.get()
    assert (incident.kind, incident.listener, incident.count) == ("unknown_task", None, 1)
    assert "shop.sync" in incident.summary
    assert "queue cdc" in incident.summary
    assert "return_unknown_tasks --to QUEUE --task shop.sync" in incident.remedy
    kept = read(any_broker, "cdc.unknown")
    assert kept.headers == HEADERS
    assert body_of(kept) == BODY
    assert (kept.content_type, kept.content_encoding) == ("application/json", "utf-8")
    names = ("priority", "correlation_id", "reply_to")
    assert [kept.properties[name] for name in names] == [3, "order-1", "shop.answers"]
    assert any_broker.waiting("cdc") == 0


def test_a_compressed_message_stays_compressed(worker, any_broker):
    send(any_broker, compression="gzip")

    wait_for(lambda: any_broker.waiting("cdc.unknown") == 1, what="a kept message")
    kept = read(any_broker, "cdc.unknown")
    assert kept.headers == {**HEADERS, "compression": "application/x-gzip"}
    assert body_of(kept) == BODY  # as it is read, after it was decompressed


def test_a_message_that_expires_is_kept_without_the_brokers_time_limit(worker, any_broker):
    expires = "2999-01-01T00:00:00+00:00"
    send(any_broker, expires=expires, properties={"expiration": 60.0})  # as Celery does

    wait_for(lambda: any_broker.waiting("cdc.unknown") == 1, what="a kept message")
    kept = read(any_broker, "cdc.unknown")
    assert kept.headers["expires"] == expires
    assert "expiration" not in kept.properties


def test_messages_are_sent_on_and_the_incident_closes(worker, any_broker):
    for task in ("shop.sync", "shop.sync", "other.task"):
        send(any_broker, task=task)
    wait_for(lambda: any_broker.waiting("cdc.unknown") == 3, what="kept messages")
    wait_for(lambda: Incident.objects.count() == 2, what="the incidents")

    assert run("return_unknown_tasks", "--dry-run").lines == [
        "other.task: 1 kept",
        "shop.sync: 2 kept",
    ]
    assert any_broker.waiting("cdc.unknown") == 3
    moved = run("return_unknown_tasks", "--to", "celery", "--task", "shop.sync")
    assert moved.lines == ["shop.sync: 2 sent to celery"]
    assert (any_broker.waiting("celery"), any_broker.waiting("cdc.unknown")) == (2, 1)
    headers = read(any_broker, "celery").headers
    headers.pop("redelivered", None)  # kombu's mark, on Redis, of a message that was read before
    assert headers == HEADERS
    assert run("return_unknown_tasks", "--to", "celery").lines == ["other.task: 1 sent to celery"]

    assert run("return_unknown_tasks", "--dry-run").lines == ["No messages in cdc.unknown."]
    watch(Incident.objects.latest("last_seen_at").last_seen_at)
    assert not Incident.objects.opened().exists()


def test_what_is_sent_back_to_a_worker_that_does_not_know_it_yet_is_kept_again(worker, any_broker):
    send(any_broker, task="billing.later")
    wait_for(lambda: any_broker.waiting("cdc.unknown") == 1, what="a kept message")
    assert unknown_tasks.kept() == Counter({"billing.later": 1})

    assert unknown_tasks.send_on("cdc") == Counter({"billing.later": 1})

    # The worker does not know it yet: it keeps it once more, and counts.
    wait_for(lambda: any_broker.waiting("cdc.unknown") == 1, what="a kept message")
    wait_for(Incident.objects.filter(count=2).exists, what="the second count")
