"""Celery's in-memory transport in place of the broker: tests publish real messages and run them as
a worker does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, current_app
from django.test import TestCase

_ADDRESSES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


class MemoryBroker:
    """The fixture `cdc_broker`: runs the messages in memory."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def work(self, task: str) -> None:
        """Run the task's messages until none is left. Messages of other tasks are dropped."""
        while message := self._take():
            if message.headers["task"] == task:
                args, kwargs, _ = message.decode()
                # The test's own transaction never commits, so its hooks would never run.
                with TestCase.captureOnCommitCallbacks(execute=True):
                    self._app.tasks[task](*args, **kwargs)

    def purge(self) -> None:
        while self._take():
            pass

    def _take(self) -> Any:
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            found = (channel.basic_get(queue, no_ack=True) for queue in sorted(channel.queues))
            return next((message for message in found if message), None)


@contextmanager
def in_memory() -> Iterator[MemoryBroker]:
    """Make the Celery application publish to memory inside the `with` block."""
    app: Celery = current_app._get_current_object()
    with pytest.MonkeyPatch.context() as patch:
        for name in _ADDRESSES:  # Celery prefers them to its settings
            patch.setenv(name, "memory://localhost")
        # Both keep connections to the broker they were created for.
        patch.setitem(vars(app), "amqp", type(app.amqp)(app))
        patch.setattr(app, "_pool", None)
        broker = MemoryBroker(app)
        broker.purge()
        yield broker
        broker.purge()
