"""Spans of attempts. What a handler does becomes part of the trace of its change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time_ns

from opentelemetry import context, trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode

from handlers.tracing import attributes
from handlers.tracing.fail_safe import harmless
from handlers.tracing.trace_ids import Identity, microseconds, of_change, of_redelivery
from handlers.tracing.tracer import ChangeTracer
from handlers.types import Claim, Ended, Run, Unit

_KIND = SpanKind.CONSUMER


@dataclass(frozen=True, slots=True)
class Attempt:
    claim: Claim
    span: Span


class Attempts:
    """Create the spans of attempts.

    An attempt at a batch is one span in the trace of each change. What the handler does goes into
    the first sampled span, and the other spans link to it.
    """

    def __init__(self, tracer: ChangeTracer) -> None:
        self._tracer = tracer

    def made(self, unit: Unit, run: Callable[[Unit], Run]) -> Run:
        attempts = self._begin(unit) or []
        token = context.attach(_inside(attempts))
        try:
            done = run(unit)
        except BaseException as error:
            _abort(attempts, type(error).__name__)
            raise
        finally:
            context.detach(token)
        _end_all(attempts, done.ended)
        return done

    def lost(self, ended: Ended) -> None:
        began = 1000 * microseconds(ended.started_at)
        span = self._span(ended.claim, (), began)
        _end(span, ended, time_ns())

    @harmless
    def _begin(self, unit: Unit) -> Sequence[Attempt]:
        around = trace.get_current_span().get_span_context()
        links = [Link(around)] if around.is_valid else []
        begun: list[Attempt] = []
        is_found = False
        for claim in unit:
            attempt = Attempt(claim, self._span(claim, links))
            if is_found or not attempt.span.is_recording():
                begun.append(attempt)
                continue
            is_found, links = True, [*links, Link(attempt.span.get_span_context())]
            begun.insert(0, attempt)
        return begun

    def _span(self, claim: Claim, links: Sequence[Link], began: int | None = None) -> Span:
        change, redelivery = _identities(claim)
        place = self._tracer.place(redelivery or change)
        if not place.trace_flags.sampled:
            return NonRecordingSpan(place)
        name, values = f"process {claim.delivery.handler}", attributes.of_claim(claim)
        if redelivery is None or claim.counted > 1:
            return self._tracer.child(place, name, _KIND, values, links=links, began=began)
        links = [Link(self._tracer.place(change)), *links]
        return self._tracer.first(redelivery, name, _KIND, values, links=links, began=began)


def _identities(claim: Claim) -> tuple[Identity, Identity | None]:
    """Return the identities of the change's trace, and of the redelivery's, if there is one.

    A redelivery has its own trace, since the trace of the change may have expired.
    """
    delivery, entry = claim.delivery, claim.delivery.entry
    change = of_change(entry.pk, entry.received_at)
    if delivery.redelivery_id is None:
        return change, None
    return change, of_redelivery(entry.pk, entry.received_at, delivery.pk, delivery.redelivery_id)


def _inside(attempts: Sequence[Attempt]) -> context.Context:
    """Return the context in which the handler runs; it is sampled only if an attempt is."""
    if not attempts:
        return context.get_current()
    return trace.set_span_in_context(attempts[0].span)


@harmless
def _abort(attempts: Sequence[Attempt], reason: str) -> None:
    """End the spans of attempts whose process is ending."""
    for attempt in attempts:
        attempt.span.set_attribute("error.type", reason)
        attempt.span.set_status(StatusCode.ERROR)
        attempt.span.end()


@harmless
def _end_all(attempts: Sequence[Attempt], ended: Sequence[Ended]) -> None:
    now = time_ns()
    endings = {ending.claim.delivery.pk: ending for ending in ended}
    for attempt in attempts:
        if attempt.span.is_recording():
            _end(attempt.span, endings.get(attempt.claim.delivery.pk), now)


def _end(span: Span, ended: Ended | None, now: int) -> None:
    """End a span. `ended` is None when the claim was lost and the attempt was not recorded."""
    values, is_error = (
        attributes.of_ending(ended) if ended else ({"cdc.outcome": "claim lost"}, True)
    )
    span.set_attributes(dict(values))
    if is_error:
        span.set_status(StatusCode.ERROR)
    span.end(now)
