"""Celery's own transport in memory in place of the broker: what is published really is, and what
comes out is what a worker would get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery, current_app
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.test import TestCase

from handlers import registry

_ADDRESSES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


class BrokenTransaction(Exception):
    """A handler left the test's transaction in a state in which nothing more can be done.

    Outside of a test each of its statements has a transaction of its own, where the handler is not
    atomic. Mark the test with `@pytest.mark.django_db(transaction=True)`.
    """

    def __init__(self, task: str) -> None:
        super().__init__(
            f"{task} met an error of the database outside of `transaction.atomic()`, which breaks "
            "the transaction that this test runs in. In a worker it would not: give the test real "
            "transactions with @pytest.mark.django_db(transaction=True)."
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A task as it was sent."""

    task: str
    queue: str
    kwargs: dict[str, Any]
    args: tuple[Any, ...] = ()


@dataclass(slots=True)
class MemoryBroker:
    """`others`: what was sent that is no handler's, the oldest first: tasks that run elsewhere,
    and what handlers themselves have sent."""

    app: Celery
    others: list[Message] = field(default_factory=list)

    def work(self) -> None:
        """Run what is in the broker, and what comes into it meanwhile, as a worker does."""
        while message := self._take():
            if registry.find(message.task) is None:
                self.others.append(message)
                continue
            # As on a commit: a test's own transaction has none.
            with TestCase.captureOnCommitCallbacks(execute=True):
                self.app.tasks[message.task](*message.args, **message.kwargs)
            _require_working_transaction(message.task)

    def purge(self) -> None:
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            for queue in list(channel.queues):
                channel.queue_purge(queue)

    def _take(self) -> Message | None:
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            for queue in sorted(channel.queues):
                if found := channel.basic_get(queue, no_ack=True):
                    args, kwargs, _ = found.decode()
                    return Message(found.headers["task"], queue, kwargs, tuple(args))
        return None


@contextmanager
def in_memory() -> Iterator[MemoryBroker]:
    """The Celery application publishes into memory meanwhile."""
    app: Celery = current_app._get_current_object()
    with pytest.MonkeyPatch.context() as patch:
        for name in _ADDRESSES:  # Celery takes them before its settings
            patch.setenv(name, "memory://localhost")
        # Both keep connections to where they were made for.
        patch.setitem(vars(app), "amqp", type(app.amqp)(app))
        patch.setattr(app, "_pool", None)
        broker = MemoryBroker(app)
        broker.purge()
        yield broker
        broker.purge()


def _require_working_transaction(task: str) -> None:
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise BrokenTransaction(task) from error
