"""Trace changes with OpenTelemetry spans; see docs/traces.md.

When tracing is off, OpenTelemetry is not imported, and callers only compare:
`if tracing.spans is not None`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer

    from handlers.tracing.change_spans import Spans

spans: Spans | None = None


def record_with(tracer: Tracer) -> None:
    """Turn on tracing in this process."""
    global spans  # noqa: PLW0603
    from handlers.tracing.change_spans import Spans

    spans = Spans(tracer)
