"""The spans of a change: received and recorded, sent, and each attempt of each handler.

They are made where something has ended well, of the times that it took; an attempt's while it runs.
Loaded only where traces are on.
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
        """A listener's entries were committed just now, in a transaction that began then (in
        nanoseconds since 1970). `gaps`: by the number of an entry, the one that it completes."""
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
        """They are with the broker, and were on their way since then."""
        ended = time_ns()
        message_of = {pk: message for message in messages for pk in message.ids}
        asked = [pk for pk, message in message_of.items() if message.places is None]
        places = self._found(asked)
        for message in messages:
            places |= message.places or {}
        for pk, place in places.items():
            message = message_of[pk]
            said = attributes.of_sending(message, pk)
            name, kind = f"send {message.queue}", SpanKind.PRODUCER
            self._tracer.child(place, name, kind, said, began=began).end(ended)

    @harmless
    def places(self, deliveries: Iterable[Delivery]) -> Places:
        """Where those that are sampled belong, of new ones: `created_at` is their entries' time."""
        return self._sampled((one.pk, one.entry_id, one.created_at) for one in deliveries)

    def _found(self, ids: Sequence[int]) -> Places:
        """The same of any. Of redeliveries, whose traces begin with their attempts, of none."""
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
        """What the run came to. What it begins is part of its trace."""
        return self._attempts.made(unit, run)

    @harmless
    def lost(self, ended: Ended) -> None:
        """An attempt that its worker never ended."""
        self._attempts.lost(ended)

    @harmless
    def headers(self, delivery: Delivery) -> dict[str, str]:
        """Of a message to a task that runs elsewhere: whoever reads them continues the trace."""
        place = self._tracer.place(of_change(delivery.entry_id, delivery.entry.received_at))
        found: dict[str, str] = {}
        propagate.inject(found, set_span_in_context(NonRecordingSpan(place)))
        return found


def _name(entry: AuditLogEntry) -> str:
    is_streamed = entry.source == AuditLogEntry.Source.STREAM
    return f"receive {entry.channel}" if is_streamed else f"read {entry.entity_name}"
