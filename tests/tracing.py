"""Collects the test process's own spans with OpenTelemetry's SDK."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import StatusCode

from handlers.tracing.change_spans import Spans

#: A span of a trace: their ids.
Place = tuple[int, int]


class Made:
    """Collects the finished spans of `spans`, in the order in which they end."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        tracer = provider.get_tracer("this test")
        assert isinstance(tracer, Tracer)
        self.spans = Spans(tracer)

    def __call__(self, beginning: str = "") -> Sequence[ReadableSpan]:
        """Return the finished spans whose name starts with `beginning`."""
        finished = self._exporter.get_finished_spans()
        return [span for span in finished if span.name.startswith(beginning)]

    def forget(self) -> None:
        self._exporter.clear()


def place(span: ReadableSpan) -> Place:
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> Place | None:
    return (span.parent.trace_id, span.parent.span_id) if span.parent else None


def links(span: ReadableSpan) -> list[Place]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def is_error(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR
