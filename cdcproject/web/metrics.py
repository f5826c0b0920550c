"""Metrics of the web server's responses; see docs/metrics.md."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPMethod
from time import perf_counter

import structlog
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Counter, Histogram

log = structlog.get_logger(__name__)

REQUESTS = Counter("cdc_http_requests", "Requests answered.", ["area", "method", "status"])
REQUEST_SECONDS = Histogram(
    "cdc_http_request_seconds", "Seconds until a response began.", ["area"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip

_AREAS = {"admin": "console", "api": "api", "static": "static"}
#: Other methods, which clients can make up, share one label.
_METHODS = frozenset(HTTPMethod)


class Requests:
    """Middleware that counts requests, except probes, which are answered before it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter()
        answer = self._get_response(request)
        try:
            _count(request, answer.status_code, perf_counter() - began)
        except OSError as error:  # the folder of the metrics was deleted, or is full
            log.warning("request not counted", reason=str(error))
        return answer


def _count(request: HttpRequest, status: int, seconds: float) -> None:
    area = _AREAS.get(request.path_info.strip("/").partition("/")[0], "other")
    method = request.method if request.method in _METHODS else "other"
    REQUESTS.labels(area, method, status).inc()
    REQUEST_SECONDS.labels(area).observe(seconds)
