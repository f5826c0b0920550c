"""Create spans in traces whose ids are derived from a change; OpenTelemetry's would be random.

Every process derives the same ids, so that no message or row has to carry them.
Each process asks the sampler with the trace id alone. Samplers that decide by it (`always_on`,
`always_off`, `traceidratio`) give the same answer everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from hashlib import blake2b
from typing import ParamSpec, TypeVar

import structlog
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

log = structlog.get_logger(__name__)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Attributes = Mapping[str, str | int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)
_NOWHERE = Context()


@dataclass(frozen=True, slots=True)
class Identity:
    """A trace id of 128 bits and a span id of 64 bits, as W3C Trace Context defines them."""

    trace_id: int
    span_id: int


def of_change(entry_id: int, received_at: datetime) -> Identity:
    """Return the identity of an entry's trace. The time tells installations apart."""
    return _of(b"change", entry_id, microseconds(received_at))


def of_redelivery(
    entry_id: int, received_at: datetime, delivery_id: int, redelivery_id: int
) -> Identity:
    """Return the identity of the trace of one redelivery of a delivery."""
    return _of(b"redelivery", entry_id, microseconds(received_at), delivery_id, redelivery_id)


def microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970, UTC, which is the precision of databases."""
    return (moment - _EPOCH) // _MICROSECOND


def _of(kind: bytes, *numbers: int) -> Identity:
    digest = blake2b(repr(numbers).encode(), digest_size=24, person=kind).digest()
    return Identity(int.from_bytes(digest[:16]), int.from_bytes(digest[16:]))


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


def harmless(work: Callable[Arguments, Result]) -> Callable[Arguments, Result | None]:
    """Wrap `work` so that it logs an error and returns None.

    Tracing errors, such as those of third-party samplers, must not stop recording and handling.
    """

    @wraps(work)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | None:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            _log_once(work.__name__, error)
            return None

    return guarded


_logged: set[tuple[str, str]] = set()


def _log_once(what: str, error: Exception) -> None:
    """Log an error once for each class: its message may differ for each change."""
    kind = type(error).__name__
    if (what, kind) not in _logged:
        _logged.add((what, kind))
        log.error("trace incomplete", what=what, reason=f"{kind}: {error}")
