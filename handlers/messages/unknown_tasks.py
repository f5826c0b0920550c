"""Keeps messages of unknown tasks in a separate queue, opens incidents, and sends the messages on.

They belong to another project whose workers consume the same queue, or to a handler module that
this worker did not import. Headers, properties and bodies are kept, except the broker's time to
live, so that a kept message does not expire. Celery's own `expires` is a header.
"""

from __future__ import annotations

import shlex
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.connection import Connection
from kombu.messaging import Producer

from audit.models import Incident, Trouble
from cdcproject.conf.logging import escaped
from handlers import broker
from handlers.messages.checks import task_of
from handlers.sdk.outcomes import storable
from handlers.sdk.registry import EXTERNAL_QUEUE
from handlers.worker.worker_registry import background_thread, writing_apart
from listeners.threads import BackgroundThread

#: The AMQP properties that a message keeps. Redis delivers any property that a sender wrote, and a
#: broker refuses another user's user_id.
_KEPT = (
    *("delivery_mode", "priority", "correlation_id", "reply_to"),
    *("message_id", "timestamp", "type", "app_id"),
)
KIND = Incident.Kind.UNKNOWN_TASK
#: The limit of open incidents; further tasks share one, because senders choose the task names.
MOST_OPEN = 20
OTHERS = "other tasks"


class Sender:
    """Sends messages to a queue over its own connection, which opens with the first message."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def send(self, message: Any, queue: str) -> None:
        """Return once the broker has the message. Raises what the broker's library raises."""
        try:
            _send(self._connected(), message, queue)
        except Exception:
            self.close()
            raise

    def _connected(self) -> Connection:
        if self._connection is None:
            # Makes RabbitMQ confirm each message.
            options = {**current_app.conf.broker_transport_options, "confirm_publish": True}
            self._connection = current_app.connection_for_write(transport_options=options)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()  # type: ignore[no-untyped-call]
        self._connection = None


def _send(connection: Connection, message: Any, queue: str) -> None:
    broker.ensure_queue(current_app, connection, queue)
    headers = dict(message.headers)
    producer: Any = Producer(connection.default_channel, auto_declare=False)  # type: ignore[no-untyped-call]
    producer.publish(
        message.body,
        exchange="",
        routing_key=queue,
        content_type=message.content_type or "application/octet-stream",
        content_encoding=message.content_encoding,
        compression=headers.pop("compression", None),
        headers=headers,
        **{name: message.properties[name] for name in _KEPT if name in message.properties},
    )


def came_from(message: Any) -> str:
    """Return the queue that a message was read from, which is its routing key."""
    info = getattr(message, "delivery_info", None)
    return str(info.get("routing_key", "")) if isinstance(info, dict) else ""


def send_on(to: str, task: str | None = None) -> Counter[str]:
    """Move kept messages of one task, or of all tasks, to the queue `to`; count them by task.

    Raises the exceptions of the broker's library; messages that were not sent stay kept.
    """
    sent: Counter[str] = Counter()
    with closing(Sender()) as sender, closing(_kept_messages()) as messages:
        for message, name in messages:
            if task in (None, name):
                sender.send(message, to)
                sent[name] += 1
                message.ack()
    return sent


def kept() -> Counter[str]:
    """Count the kept messages by task. Reads and requeues all of them."""
    return Counter(name for _, name in _kept_messages())


def _kept_messages() -> Generator[tuple[Any, str]]:
    """Yield each kept message and its task; requeue those that are not acknowledged."""
    with current_app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = current_app.amqp.queues.new_missing(settings.CDC_UNKNOWN_QUEUE)(channel)
        count = queue.queue_declare().message_count
        staying = []
        try:
            for _ in range(count):
                message = queue.get()
                if message is None:
                    break
                staying.append(message)
                yield message, task_of(message) or "(no task)"
                if message.acknowledged:
                    staying.pop()
        finally:
            for message in staying:
                message.requeue()


class Reporter:
    """Writes incidents in a thread, so that the database does not hold the worker up."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._changed = threading.Condition()
        self._thread: BackgroundThread | None = None

    def report(self, task: str, queue: str) -> None:
        """Count a message; the thread writes the incident."""
        counted = storable(task), storable(queue)
        with self._changed:
            if counted not in self._counts and len(self._counts) >= MOST_OPEN:
                counted = OTHERS, ""  # senders choose the names
            self._counts[counted] += 1
            self._changed.notify_all()
            if self._thread is None:
                self._thread = background_thread(
                    "unknown tasks", self._write_next, "Incidents of unknown tasks are not opened."
                )
                self._thread.start()

    def _write_next(self) -> None:
        """Wait for counts and write them; after an error they are written with the next."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts)
            counts = self._counts.copy()
        with writing_apart(), transaction.atomic(durable=True):
            for (task, queue), count in counts.items():
                open_or_count(task, queue, count, timezone.now())
        with self._changed:
            self._counts -= counts


def open_or_count(task: str, queue: str, count: int, now: datetime) -> None:
    """Open an incident for a task and queue, or add to its count. Inside any transaction."""
    key = f"{task} ({queue})"[:255]
    incidents = Incident.objects.opened().filter(kind=KIND)
    if not incidents.filter(key=key).exists() and incidents.count() >= MOST_OPEN:
        key, task = "", OTHERS
    Incident.objects.report(None, trouble(key, task, queue, count), now)


def trouble(key: str, task: str, queue: str, count: int) -> Trouble:
    kept_in = settings.CDC_UNKNOWN_QUEUE
    send_on = "manage.py return_unknown_tasks"
    # A sender chose the name, and an operator copies the command into a shell.
    of_task = "--task NAME" if task == OTHERS else f"--task {shlex.quote(escaped(task))}"
    return Trouble(
        KIND,
        key,
        f"Messages of the task {task} arrived in the queue {queue or '(unknown)'}, but the workers "
        "of this project do not know that task.",
        f"If the task is another project's, let that project use its own queue, and send the "
        f"messages there: {send_on} --to QUEUE {of_task} (Celery's default queue is "
        f"{EXTERNAL_QUEUE}). If it is a handler of yours, restart the workers with "
        f"the module that defines it, and send them back: {send_on} --to {queue or 'QUEUE'} "
        f"{of_task}. To discard them: celery -A cdcproject purge -Q {kept_in}. The incident "
        f"closes when {kept_in} is empty.",
        count=count,
        action=f"The messages are kept, unchanged, in the queue {kept_in}.",
    )


def close_when_none_is_kept(now: datetime) -> int:
    """Close the incidents if their queue is empty; return how many. Never inside a transaction."""
    opened = Incident.objects.opened().filter(kind=KIND, last_seen_at__lte=now)
    ids = list(opened.values_list("pk", "last_seen_at"))
    if not ids:
        return 0
    try:
        if broker.queue_length(settings.CDC_UNKNOWN_QUEUE) != 0:
            return 0
    except broker.BrokerUnavailable:
        return 0
    note = f"The queue {settings.CDC_UNKNOWN_QUEUE} is empty."
    return sum(
        Incident.objects.filter(pk=pk, last_seen_at=seen).settle(now, note=note) for pk, seen in ids
    )
