"""Records changes that were read over REST, with their deliveries, while the stream goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time_ns

from django.db import transaction

from audit.log.record import record
from audit.models import AuditLogEntry
from handlers import tracing
from handlers.models import HandlerMapping
from handlers.outbox.create import deliver
from listeners import crash_points
from listeners.models import Listener, Position


def add(listener: Listener, choose: Callable[[], Sequence[AuditLogEntry]]) -> list[int]:
    """Record the entries that `choose` returns, with their deliveries; return the ids of the
    deliveries to publish now.

    `choose` runs in the same transaction, under the lock on the listener's position: the stream
    records nothing until the commit, so `choose` reads the current state, and should be fast. Never
    inside a transaction.
    """
    began = time_ns()
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(listener.pk)
        new = record(choose())
        ready = deliver(new, list(HandlerMapping.objects.filter(listener=listener)))
        crash_points.reach("added")
    if tracing.spans is not None:
        tracing.spans.recorded(listener.name, new, began)
    return ready
