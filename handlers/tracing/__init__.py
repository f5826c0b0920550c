"""The traces of changes, where this process makes any; docs/traces.md.

Off, nothing of OpenTelemetry is loaded, and who is on the way of a change pays for a comparison:
`if tracing.spans is not None`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handlers.tracing.change_spans import Spans

#: Set by cdcproject.tracer, once it knows where they go.
spans: Spans | None = None
