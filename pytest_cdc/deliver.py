"""Changes to handlers as the product brings them there, in this process: routed, put into the
outbox, published, claimed, run and settled."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, overload

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit.models import AuditLogEntry
from handlers import dispatch
from handlers.deliver import deliver
from handlers.events import EventData
from handlers.models import Delivery, HandlerMapping
from handlers.registry import Handler
from handlers.routing import Miss
from listeners.models import Listener, Position
from pytest_cdc.broker import MemoryBroker, Message
from pytest_cdc.delivered import Delivered, delay_of
from pytest_cdc.mappings import CannotDeliver, mapping_for, missed, registered, unmapped

State = Delivery.State
Events = EventData | Sequence[EventData]


class Deliver:
    """The fixture `cdc_deliver`.

    Nothing is retried by itself: the time between two attempts passes by `again` and `after`.
    """

    def __init__(self, listener: Listener, broker: MemoryBroker) -> None:
        self._listener = listener
        self._broker = broker

    @overload
    def __call__(self, events: EventData, to: Handler[Any] | str, **mapping: Any) -> Delivered: ...
    @overload
    def __call__(
        self, events: Sequence[EventData], to: Handler[Any] | str, **mapping: Any
    ) -> list[Delivered]: ...
    def __call__(
        self, events: Events, to: Handler[Any] | str, **mapping: Any
    ) -> Delivered | list[Delivered]:
        """Deliver to a handler, one or several changes, which were recorded in this order.

        to       a handler, or the name of one
        mapping  fields of the handler mapping, as in a configuration file: condition, options,
                 changed_fields, ignore_origins, ignore_users, ordering, on_dead, max_attempts,
                 queue. `on` and `entity` follow from the change

        A list goes to a handler with `batch` as a list, as long as it takes. Raises CannotDeliver.
        """
        handler = registered(to)
        given = [events] if isinstance(events, EventData) else list(events)
        pairs = [(one, mapping_for(one, handler, self._listener, mapping)) for one in given]
        delivered = self._deliver(pairs)
        return delivered[0] if isinstance(events, EventData) else delivered

    def to_mappings(self, events: Events) -> list[Delivered]:
        """Deliver to the listener's mappings; one for each change and mapping of its kind and
        entity, those that it misses among them. Raises CannotDeliver where there is none."""
        mappings = list(HandlerMapping.objects.filter(listener=self._listener))
        given = [events] if isinstance(events, EventData) else list(events)
        pairs = [
            (event, mapping)
            for event in given
            for mapping in mappings
            if missed(event, mapping) not in (Miss.KIND, Miss.ENTITY)
            and (mapping.handler or mapping.task)
        ]
        for _, mapping in pairs:
            if mapping.handler:
                registered(mapping.handler)
        for event in given:
            if not any(event is one for one, _ in pairs):
                raise CannotDeliver(unmapped(event, self._listener, mappings))
        return self._deliver(pairs)

    def again(self) -> None:
        """Let as much time pass as needed: everything that waits for its next attempt has it."""
        self.attempt(_ids(Delivery.objects.filter(state=State.RETRYING)))

    def after(self, seconds: float) -> None:
        """Let so much time pass since the last attempts: what is due by then has its next one. How
        long the test itself takes does not count."""
        waiting = Delivery.objects.filter(state=State.RETRYING).order_by("id")
        waiting.update(due_at=F("due_at") - timedelta(seconds=seconds))
        self.attempt([one.pk for one in waiting.select_related("mapping") if delay_of(one) <= 0])

    def attempt(self, ids: Sequence[int]) -> None:
        """The next attempt of these deliveries, as if its time had come."""
        Delivery.objects.filter(pk__in=ids).update(due_at=timezone.now())
        self._publish(ids)

    def work(self) -> None:
        """Run what is in the broker: after something else has published."""
        self._broker.work()

    @property
    def sent(self) -> list[Message]:
        """The tasks that were sent and are no handler's, the oldest first: those of mappings with
        `task`, and what handlers have sent. They are not run."""
        return list(self._broker.others)

    def assert_idempotent(
        self,
        event: EventData,
        to: Handler[Any] | str,
        *,
        seen: Callable[[], Any],
        **mapping: Any,
    ) -> Delivered:
        """Deliver a change, and once more, as after a worker that died before it could say that
        it was done; fail unless both end well and the second leaves behind what the first did.

        seen  what the handler leaves behind, such as
              `lambda: list(Contact.objects.order_by("id").values())`
        """
        __tracebackhide__ = True
        delivered = self(event, to, **mapping)
        if not (delivered.succeeded or delivered.skipped):
            raise AssertionError(f"not even the first time: {delivered}")
        once = seen()
        delivered.redeliver()
        if not (delivered.succeeded or delivered.skipped):
            raise AssertionError(f"the second time fails: {delivered}")
        twice = seen()
        if once != twice:
            raise AssertionError(f"the second time changes something:\n{_difference(once, twice)}")
        return delivered

    def _deliver(self, pairs: Sequence[tuple[EventData, HandlerMapping]]) -> list[Delivered]:
        entries = self._entries(event for event, _ in pairs)
        _refuse_begun(pairs)
        with transaction.atomic(durable=True):
            Position.objects.lock_listener(self._listener.pk)
            known = set(_known(pairs).values_list("entry_id", "mapping_id"))
            wanted = {(event.id, mapping.pk) for event, mapping in pairs} - known
            mappings = list(HandlerMapping.objects.filter(listener=self._listener))
            policy = Listener.GapPolicy.DELIVER
            ready = deliver(entries, mappings, only=wanted, gap_policy=policy)
        self._publish(ready)
        made = {(one.entry_id, one.mapping_id): one.pk for one in _known(pairs)}
        return [
            Delivered(
                self, event, mapping, made.get((event.id, mapping.pk)), missed(event, mapping) or ""
            )
            for event, mapping in pairs
        ]

    def _entries(self, events: Iterable[EventData]) -> list[AuditLogEntry]:
        ids = {event.id for event in events}
        found = AuditLogEntry.objects.filter(listener=self._listener, pk__in=ids).order_by("id")
        entries = list(found.select_related("listener__connection"))
        if left := ids - {entry.pk for entry in entries}:
            raise CannotDeliver(
                f"of {self._listener} no change is recorded with the id "
                f"{', '.join(map(str, sorted(left)))}: make events with cdc_event, in this test"
            )
        return entries

    def _publish(self, ids: Sequence[int]) -> None:
        """One by one, but for handlers that take many: there is no other worker to go on with
        those that wait for a slow one."""
        dispatch.publish(ids, timezone.now(), size=1)
        self.work()


def _known(pairs: Sequence[tuple[EventData, HandlerMapping]]) -> Any:
    entries = {event.id for event, _ in pairs}
    mappings = {mapping.pk for _, mapping in pairs}
    return Delivery.objects.filter(entry__in=entries, mapping__in=mappings)


def _ids(deliveries: Any) -> list[int]:
    return list(deliveries.order_by("id").values_list("id", flat=True))


def _refuse_begun(pairs: Sequence[tuple[EventData, HandlerMapping]]) -> None:
    begun = _known(pairs).exclude(attempts=0).first()
    if begun is not None:
        raise CannotDeliver(
            f"{begun} already: that change was delivered to this handler before. Use what that "
            "gave you: again() for its next attempt, redeliver() to send it once more; or make a "
            "new event."
        )


def _difference(once: Any, twice: Any) -> str:
    """Line by line, where they have several."""
    names = "after the first time", "after the second time"
    return "\n".join(difflib.unified_diff(_lines(once), _lines(twice), *names, lineterm=""))


def _lines(value: Any) -> list[str]:
    return [repr(one) for one in value] if isinstance(value, list | tuple) else [repr(value)]
