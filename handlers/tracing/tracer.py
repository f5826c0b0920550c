"""Create spans in traces with given ids; OpenTelemetry would generate random ones.

Each process asks the sampler with the trace id alone. Samplers that decide by it (`always_on`,
`always_off`, `traceidratio`) give the same answer everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from handlers.tracing.trace_ids import Identity

Attributes = Mapping[str, str | int]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)
_NOWHERE = Context()


class ChangeTracer:
    def __init__(self, tracer: Tracer) -> None:
        """Replace the id generator of `tracer`, which must have no other user."""
        self._tracer = tracer
        self._ids = _GivenIds(tracer.id_generator)
        tracer.id_generator = self._ids

    def is_sampled(self, identity: Identity) -> bool:
        result = self._tracer.sampler.should_sample(_NOWHERE, identity.trace_id, "change")
        return result.decision is Decision.RECORD_AND_SAMPLE

    def place(self, identity: Identity) -> SpanContext:
        """Return the context of the trace's first span, whichever process creates it."""
        flags = _SAMPLED if self.is_sampled(identity) else _NOT_SAMPLED
        return SpanContext(identity.trace_id, identity.span_id, is_remote=True, trace_flags=flags)

    def first(
        self,
        identity: Identity,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        began: int | None = None,
    ) -> Span:
        """Start the trace's first span. `began` is in nanoseconds since 1970; None: now."""
        with self._ids.given(identity):
            return self._tracer.start_span(
                name, _NOWHERE, kind, dict(attributes), links, start_time=began
            )

    def child(
        self,
        parent: SpanContext,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        began: int | None = None,
    ) -> Span:
        context = set_span_in_context(NonRecordingSpan(parent), _NOWHERE)
        return self._tracer.start_span(
            name, context, kind, dict(attributes), links, start_time=began
        )


class _GivenIds(IdGenerator):
    """Return the ids that the current thread has given, else those of another generator."""

    def __init__(self, others: IdGenerator) -> None:
        self._others = others
        self._of_thread = threading.local()

    @contextmanager
    def given(self, identity: Identity) -> Iterator[None]:
        self._of_thread.identity = identity
        try:
            yield
        finally:
            self._of_thread.identity = None

    @property
    def _given(self) -> Identity | None:
        return getattr(self._of_thread, "identity", None)

    def generate_trace_id(self) -> int:
        return self._given.trace_id if self._given else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        return self._given.span_id if self._given else self._others.generate_span_id()

    def is_trace_id_random(self) -> bool:
        return self._given is None and self._others.is_trace_id_random()
