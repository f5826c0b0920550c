"""The traces of changes, where this process makes any; docs/traces.md.

Off, nothing of OpenTelemetry is loaded, and who is on the way of a change pays for a comparison:
`if tracing.spans is not None`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer

    from handlers.tracing.change_spans import Spans

spans: Spans | None = None


def record_with(tracer: Tracer) -> None:
    """Make spans of this process's changes from now on."""
    global spans  # noqa: PLW0603
    from handlers.tracing.change_spans import Spans

    spans = Spans(tracer)
