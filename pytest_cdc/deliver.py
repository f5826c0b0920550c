"""Deliver recorded changes to a handler as the product does: route, store in the outbox, publish,
claim, run and settle.

Celery's in-memory transport takes the place of the broker: tests publish real messages and run them
as a worker does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

import pytest
from celery import Celery, current_app
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from handlers.outbox.create import deliver
from handlers.routing.router import GAPS, ON
from handlers.sdk import registry
from handlers.sdk.events import EventData
from handlers.sdk.registry import Handler
from listeners.models import Listener, Position

State = Delivery.State

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


class Deliver:
    """The fixture `cdc_deliver`. A failed delivery is retried only by `again`."""

    def __init__(self, listener: Listener, broker: MemoryBroker) -> None:
        self._listener = listener
        self._broker = broker

    @overload
    def __call__(
        self, events: EventData, to: Handler[Any] | str, **mapping: Any
    ) -> Delivery | None: ...
    @overload
    def __call__(
        self, events: Sequence[EventData], to: Handler[Any] | str, **mapping: Any
    ) -> list[Delivery | None]: ...
    def __call__(
        self, events: EventData | Sequence[EventData], to: Handler[Any] | str, **mapping: Any
    ) -> Delivery | list[Delivery | None] | None:
        """Deliver one or several changes to a handler, in the order they were recorded.

        to       a handler or its name
        mapping  fields of the handler mapping, such as condition, options, changed_fields,
                 ignore_origins, ordering, max_attempts. `on` and `entity` follow from the change

        Returns the current row of each delivery, or None if the mapping does not match the
        change. Raises LookupError for an unknown handler, and ValidationError for a mapping that
        the console would reject.
        """
        handler = _registered(to)
        given = [events] if isinstance(events, EventData) else list(events)
        pairs = [(event.id, self._mapping(event, handler, mapping).pk) for event in given]
        self._publish(self._add(pairs), handler.name)
        rows = Delivery.objects.filter(entry__in=[entry for entry, _ in pairs])
        made = {(row.entry_id, row.mapping_id): row for row in rows}
        delivered = [made.get(pair) for pair in pairs]
        return delivered[0] if isinstance(events, EventData) else delivered

    def again(self) -> None:
        """Run every delivery that waits for a retry, as if it were due, and the deliveries behind
        it. Call `refresh_from_db()` on the rows to see their states.
        """
        retrying = Delivery.objects.filter(state=State.RETRYING)
        begun = list(retrying.values_list("id", flat=True))
        retrying.update(due_at=timezone.now())
        rows = list(Delivery.objects.filter(pk__in=begun).values_list("id", "handler"))
        while rows:
            for handler in dict.fromkeys(handler for _, handler in sorted(rows)):
                self._publish([pk for pk, name in sorted(rows) if name == handler], handler)
            waiting = Delivery.objects.filter(state__in=(State.READY, State.QUEUED))
            rows = list(waiting.exclude(pk__in=begun).values_list("id", "handler"))
            begun += [pk for pk, _ in rows]

    def _mapping(
        self, event: EventData, handler: Handler[Any], values: dict[str, Any]
    ) -> HandlerMapping:
        """Return the mapping with these values. A stored one is reused, to keep the order of a
        record over several calls."""
        on = (ON | GAPS)[event.metadata.change_type]
        kind = {"on": on, "entity": event.metadata.entity_name}
        if event.has_record:
            kind["after"] = HandlerMapping.After.MIRROR
        new = HandlerMapping(listener=self._listener, handler=handler.name, **kind | values)
        new.mirrored_soon = [new.entity]  # tests have no mirror: deliveries do not wait for one
        new.full_clean()
        if handler.check_options:
            handler.check_options(new.options)
        names = [field.attname for field in HandlerMapping._meta.fields if field.editable]
        known: HandlerMapping
        for known in HandlerMapping.objects.filter(listener=self._listener):
            if all(getattr(known, name) == getattr(new, name) for name in names if name != "id"):
                return known
        new.save()
        return new

    def _add(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Insert the deliveries, and return the ids of those that can begin."""
        ids = [entry for entry, _ in pairs]
        entries = AuditLogEntry.objects.filter(listener=self._listener, pk__in=ids).order_by("id")
        with transaction.atomic(durable=True):
            Position.objects.lock_listener(self._listener.pk)
            mappings = list(HandlerMapping.objects.filter(listener=self._listener))
            return deliver(
                list(entries.select_related("listener__connection")),
                mappings,
                only=set(pairs),
                gap_policy=Listener.GapPolicy.DELIVER,
            )

    def _publish(self, ids: Sequence[int], handler: str) -> None:
        """Publish one message for each delivery (except for batch handlers) and run them."""
        publish.publish(ids, timezone.now(), size=1)
        self._broker.work(handler)


def _registered(to: Handler[Any] | str) -> Handler[Any]:
    name = to.name if isinstance(to, Handler) else to
    if handler := registry.find(name):
        return handler
    raise LookupError(
        f"No handler is registered under the name {name!r}. Import its module, or add it to "
        f"CDC_HANDLER_MODULES. Registered: {', '.join(registry.names())}."
    )
