"""The spans of a change: received, recorded, sent, and each attempt of each handler.

Spans are created after a step succeeded, with its start and end times; an attempt's span exists
while it runs, so that what the handler does becomes part of the trace of its change. This module is
imported only when tracing is on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import time_ns

from django.db.models import Q
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanKind,
    StatusCode,
    set_span_in_context,
)

from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.tracing import attributes
from handlers.tracing.tracer import (
    ChangeTracer,
    Identity,
    harmless,
    microseconds,
    of_change,
    of_redelivery,
)
from handlers.types import Claim, Ended, Message, Places, Run, Unit

_ROWS = 1000


class Spans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = ChangeTracer(tracer)

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
            gap = (gaps or {}).get(entry.pk)
            first = self._tracer.first(
                identity,
                _name(entry),
                SpanKind.PRODUCER,
                attributes.of_entry(listener, entry),
                links=[Link(self._place_of(gap))] if gap is not None else (),
                began=1000 * microseconds(entry.received_at),
            )
            place = first.get_span_context()
            self._tracer.child(place, "record", SpanKind.INTERNAL, batch, began=began).end(ended)
            first.end(ended)

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

    @harmless
    def headers(self, delivery: Delivery) -> dict[str, str]:
        """Return the headers of a message to an external task, which can continue the trace."""
        found: dict[str, str] = {}
        parent = NonRecordingSpan(self._place_of(delivery.entry))
        propagate.inject(found, set_span_in_context(parent))
        return found

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

    def _place_of(self, entry: AuditLogEntry) -> trace.SpanContext:
        return self._tracer.place(of_change(entry.pk, entry.received_at))

    # Attempts

    def handling(self, unit: Unit, run: Callable[[Unit], Run]) -> Run:
        """Return the result of `run`, traced as attempts.

        An attempt at a batch is one span in the trace of each change. What the handler does goes
        into the first sampled span, and the other spans link to it.
        """
        spans = self._begin(unit) or []
        token = context.attach(
            # It is sampled only if an attempt is.
            set_span_in_context(spans[0][1]) if spans else context.get_current()
        )
        try:
            done = run(unit)
        except BaseException as error:
            _abort([span for _, span in spans], type(error).__name__)
            raise
        finally:
            context.detach(token)
        _end_all(spans, done.ended)
        return done

    @harmless
    def lost(self, ended: Ended) -> None:
        """Trace an attempt whose worker crashed or hung."""
        began = 1000 * microseconds(ended.started_at)
        _end(self._attempt(ended.claim, (), began), ended, time_ns())

    @harmless
    def _begin(self, unit: Unit) -> list[tuple[Claim, Span]]:
        """Start the span of each attempt; the first sampled one comes first."""
        around = trace.get_current_span().get_span_context()
        links = [Link(around)] if around.is_valid else []
        begun: list[tuple[Claim, Span]] = []
        is_found = False
        for claim in unit:
            span = self._attempt(claim, links)
            if is_found or not span.is_recording():
                begun.append((claim, span))
                continue
            is_found, links = True, [*links, Link(span.get_span_context())]
            begun.insert(0, (claim, span))
        return begun

    def _attempt(self, claim: Claim, links: Sequence[Link], began: int | None = None) -> Span:
        change, redelivery = _identities(claim)
        place = self._tracer.place(redelivery or change)
        if not place.trace_flags.sampled:
            return NonRecordingSpan(place)
        name, values = f"process {claim.delivery.handler}", attributes.of_claim(claim)
        kind = SpanKind.CONSUMER
        if redelivery is None or claim.counted > 1:
            return self._tracer.child(place, name, kind, values, links=links, began=began)
        links = [Link(self._tracer.place(change)), *links]
        return self._tracer.first(redelivery, name, kind, values, links=links, began=began)


def _name(entry: AuditLogEntry) -> str:
    is_streamed = entry.source == AuditLogEntry.Source.STREAM
    return f"receive {entry.channel}" if is_streamed else f"read {entry.entity_name}"


def _identities(claim: Claim) -> tuple[Identity, Identity | None]:
    """Return the identities of the change's trace, and of the redelivery's, if there is one.

    A redelivery has its own trace, since the trace of the change may have expired.
    """
    delivery, entry = claim.delivery, claim.delivery.entry
    change = of_change(entry.pk, entry.received_at)
    if delivery.redelivery_id is None:
        return change, None
    return change, of_redelivery(entry.pk, entry.received_at, delivery.pk, delivery.redelivery_id)


@harmless
def _abort(spans: Sequence[Span], reason: str) -> None:
    """End the spans of attempts whose process is ending."""
    for span in spans:
        span.set_attribute("error.type", reason)
        span.set_status(StatusCode.ERROR)
        span.end()


@harmless
def _end_all(spans: Sequence[tuple[Claim, Span]], ended: Sequence[Ended]) -> None:
    now = time_ns()
    ended_of = {run.claim.delivery.pk: run for run in ended}
    for claim, span in spans:
        if span.is_recording():
            _end(span, ended_of.get(claim.delivery.pk), now)


def _end(span: Span, ended: Ended | None, now: int) -> None:
    """End a span. `ended` is None when the claim was lost and the attempt was not recorded."""
    values, is_error = (
        attributes.of_ending(ended) if ended else ({"cdc.outcome": "claim lost"}, True)
    )
    span.set_attributes(dict(values))
    if is_error:
        span.set_status(StatusCode.ERROR)
    span.end(now)
