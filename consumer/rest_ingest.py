"""What was read over REST → the audit log and its deliveries, beside the stream."""

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
    """Record what `choose` finds missing, and its deliveries; the ids of those to publish now.

    One transaction, which keeps the stream from recording meanwhile: what `choose` reads in it is
    how things stand. It should do nothing slow. Never inside a transaction.
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
