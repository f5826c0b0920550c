"""The spans of a change: received, recorded, sent, and each attempt of each handler.

Spans are created after a step succeeded, with its start and end times; an attempt's span exists
while it runs. This module is imported only when tracing is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import time_ns

from django.db.models import Q
from opentelemetry import propagate
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanKind,
    set_span_in_context,
)

from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.tracing import attributes
from handlers.tracing.attempts import Attempts
from handlers.tracing.fail_safe import harmless
from handlers.tracing.trace_ids import microseconds, of_change
from handlers.tracing.tracer import ChangeTracer
from handlers.types import Ended, Message, Places, Run, Unit

_ROWS = 1000


class Spans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = ChangeTracer(tracer)
        self._attempts = Attempts(self._tracer)

    @harmless
    def recorded(
        self,
        listener: str,
        entries: Sequence[AuditLogEntry],
        began: int,
        gaps: Mapping[int, AuditLogEntry] | None = None,
    ) -> None:
        """Trace entries of a listener whose transaction has just been committed.

        `began` is the start of the transaction in nanoseconds since 1970; `gaps` maps the id of an
        entry to the gap entry that it completes.
        """
        ended = time_ns()
        batch = {"cdc.batch.changes": len(entries)}
        for entry in entries:
            identity = of_change(entry.pk, entry.received_at)
            if not self._tracer.is_sampled(identity):
                continue
            first = self._tracer.first(
                identity,
                _name(entry),
                SpanKind.PRODUCER,
                attributes.of_entry(listener, entry),
                links=self._completing((gaps or {}).get(entry.pk)),
                began=1000 * microseconds(entry.received_at),
            )
            place = first.get_span_context()
            self._tracer.child(place, "record", SpanKind.INTERNAL, batch, began=began).end(ended)
            first.end(ended)

    def _completing(self, gap: AuditLogEntry | None) -> Sequence[Link]:
        if gap is None:
            return ()
        return [Link(self._tracer.place(of_change(gap.pk, gap.received_at)))]

    @harmless
    def sent(self, messages: Sequence[Message], began: int) -> None:
        """Trace messages that the broker has just taken; sending began at `began`."""
        ended = time_ns()
        message_of = {pk: message for message in messages for pk in message.ids}
        unknown = [pk for pk, message in message_of.items() if message.places is None]
        places = self._look_up_places(unknown)
        for message in messages:
            places |= message.places or {}
        for pk, place in places.items():
            message = message_of[pk]
            values = attributes.of_sending(message, pk)
            name, kind = f"send {message.queue}", SpanKind.PRODUCER
            self._tracer.child(place, name, kind, values, began=began).end(ended)

    @harmless
    def places(self, deliveries: Iterable[Delivery]) -> Places:
        """Return the parent spans of new deliveries that are sampled.

        The `created_at` of a new delivery equals the `received_at` of its entry.
        """
        return self._sampled(
            (delivery.pk, delivery.entry_id, delivery.created_at) for delivery in deliveries
        )

    def _look_up_places(self, ids: Sequence[int]) -> Places:
        """Return the parent spans of any deliveries that are sampled.

        Redeliveries are left out: their traces begin with their attempts.
        """
        places: Places = {}
        for start in range(0, len(ids), _ROWS):
            found = Delivery.objects.filter(pk__among=ids[start : start + _ROWS]).order_by()
            traced = found.filter(Q(redelivery=None) | Q(is_external=True))
            places |= self._sampled(traced.values_list("pk", "entry_id", "entry__received_at"))
        return places

    def _sampled(self, rows: Iterable[tuple[int, int, datetime]]) -> Places:
        found = ((pk, of_change(entry_id, received_at)) for pk, entry_id, received_at in rows)
        is_sampled, place = self._tracer.is_sampled, self._tracer.place
        return {pk: place(identity) for pk, identity in found if is_sampled(identity)}

    def handling(self, unit: Unit, run: Callable[[Unit], Run]) -> Run:
        """Return the result of `run`, traced as attempts."""
        return self._attempts.made(unit, run)

    @harmless
    def lost(self, ended: Ended) -> None:
        """Trace an attempt whose worker crashed or hung."""
        self._attempts.lost(ended)

    @harmless
    def headers(self, delivery: Delivery) -> dict[str, str]:
        """Return the headers of a message to an external task, which can continue the trace."""
        place = self._tracer.place(of_change(delivery.entry_id, delivery.entry.received_at))
        found: dict[str, str] = {}
        propagate.inject(found, set_span_in_context(NonRecordingSpan(place)))
        return found


def _name(entry: AuditLogEntry) -> str:
    is_streamed = entry.source == AuditLogEntry.Source.STREAM
    return f"receive {entry.channel}" if is_streamed else f"read {entry.entity_name}"
