"""Configure the export of traces by OpenTelemetry's own variables; see docs/traces.md.

Without an exporter in the environment tracing is off, and OpenTelemetry is not imported.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings

from cdcproject.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Tracer, TracerProvider

log = structlog.get_logger(__name__)

SCOPE = "salesforce_cdc"
#: The longest time that a collector that does not answer delays the end of a process.
FLUSH_SECONDS = 1.0
#: The default of OTEL_BSP_MAX_QUEUE_SIZE. A listener's batch of 1,000 changes makes 3,000 spans.
QUEUE_SIZE = 8192
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_ENTRY_POINTS = "opentelemetry_traces_exporter"
_LIBRARIES = ("opentelemetry.sdk.trace.export", "opentelemetry.trace", "opentelemetry.propagate")
_OF_PROTOCOL = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


class NoExporter(Exception):
    """The exporter in OTEL_TRACES_EXPORTER or OTEL_EXPORTER_OTLP_PROTOCOL is not installed."""


class Tracing:
    """The tracing of a process that records or handles changes; its errors are only logged."""

    def __init__(self) -> None:
        self._flush: Callable[[], object] | None = None

    def load(self) -> None:
        """Import OpenTelemetry before a process forks, so that its children share the memory."""
        if exporters():
            self._log_failure(_load)

    def begin(self, role: str, record_with: Callable[[Tracer], None]) -> None:
        """Start the export once, in the process that creates the spans.

        `role` names the service without OTEL_SERVICE_NAME; `record_with` receives the tracer.
        """
        if self._flush is None and exporters():
            self._log_failure(lambda: self._begin(role, record_with))

    def end(self) -> None:
        """Send the remaining spans within FLUSH_SECONDS. Later spans of other threads are lost."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flushing = threading.Thread(target=flush, name="flush traces", daemon=True)
            flushing.start()
            flushing.join(FLUSH_SECONDS)

    def _begin(self, role: str, record_with: Callable[[Tracer], None]) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import Tracer, TracerProvider

        flush: Callable[[], object]
        found = trace.get_tracer_provider()
        if isinstance(found, TracerProvider):  # set by opentelemetry-instrument, for example
            provider, flush = found, found.force_flush
        else:
            provider = _provider(role)
            flush = provider.shutdown
            trace.set_tracer_provider(provider)
        tracer = provider.get_tracer(SCOPE, __version__)
        if isinstance(tracer, Tracer):
            self._flush = flush
            record_with(tracer)

    def _log_failure(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            remedy = "correct this OTEL_ variable"
            if isinstance(error, ImportError | NoExporter):
                remedy = "install requirements-otel.txt, or set OTEL_TRACES_EXPORTER=none"
            reason = str(error) or type(error).__name__
            log.error("tracing disabled", reason=reason, remedy=remedy)


def exporters() -> list[str]:
    """Return the names of the exporters in the environment; an empty list turns tracing off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = os.environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named and (
        os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    ):
        return ["otlp"]
    names = [name.strip() for name in named.split(",")]
    return [name for name in names if name not in ("", "none")]


def _load() -> Sequence[Callable[[], Any]]:
    """Return the factories of the exporters. Raises ImportError and NoExporter."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    return [_exporter(name) for name in exporters()]


def _exporter(name: str) -> Callable[[], Any]:
    if name == "otlp":
        protocol = (
            os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or "http/protobuf"
        ).strip()
        name = _OF_PROTOCOL.get(protocol, f"otlp over {protocol}")
    for found in entry_points(group=_ENTRY_POINTS, name=name):
        made: Callable[[], Any] = found.load()
        return made
    raise NoExporter(f"there is no exporter {name!r}")


def _provider(role: str) -> TracerProvider:
    """Return a provider. The SDK reads samplers, limits and more from the environment."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
    size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE_SIZE
    for make in _load():
        with _headers():
            exporter = make()
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=size))
    return provider


def _resource(role: str) -> Resource:
    from opentelemetry.sdk.resources import Resource

    found = Resource.create({"service.version": __version__})
    if str(found.attributes.get("service.name", "")).startswith("unknown_service"):
        return found.merge(Resource({"service.name": f"salesforce-cdc-{role}"}))
    return found


@contextmanager
def _headers() -> Iterator[None]:
    """Set the headers in the environment, where the SDK reads them: they may come from a file."""
    before = os.environ.get(HEADERS)
    if settings.OTEL_EXPORTER_OTLP_HEADERS and not before:
        os.environ[HEADERS] = settings.OTEL_EXPORTER_OTLP_HEADERS
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(HEADERS, None)
        else:
            os.environ[HEADERS] = before


tracing = Tracing()
