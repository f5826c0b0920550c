"""Probes of the web server: live, and ready when database and broker answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, as_completed, wait
from functools import cache

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from cdcproject.celery import app
from cdcproject.process.embedded_broker import ensure_embedded_broker
from consumer.status import metrics_page
from consumer.status.cached_reads import BackgroundRead

#: Seconds after which the database or the broker counts as unavailable. Both are asked in parallel.
TIMEOUT_SECONDS = 3.0


class Probes:
    """Middleware that answers /healthz/… and /metrics before ALLOWED_HOSTS is checked.

    Orchestrators and Prometheus use IP addresses.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match request.path_info:
            case "/healthz/live":
                return JsonResponse({"status": "ok"})
            case "/healthz/ready":
                return _ready()
            case "/metrics":
                return HttpResponse(metrics_page.page(), content_type=metrics_page.CONTENT_TYPE)
            case _:
                return self._get_response(request)


def _ready() -> HttpResponse:
    """Return 200 when both answer within TIMEOUT_SECONDS, otherwise 503, with a result for each."""
    asked = {name: check.begin() for name, check in _CHECKS.items()}
    wait(asked.values(), timeout=TIMEOUT_SECONDS)
    checks = {name: _answer(future) for name, future in asked.items()}
    healthy = all(answer == "ok" for answer in checks.values())
    return JsonResponse(
        {"status": "ok" if healthy else "unavailable", **checks}, status=200 if healthy else 503
    )


def _answer(check: Future[None]) -> str:
    if not check.done():
        return f"no answer in {TIMEOUT_SECONDS:.0f} seconds"
    error = check.exception()
    return "ok" if error is None else type(error).__name__


def _ask_database() -> None:
    """Run a query on a new connection, to check that connections are available."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_broker() -> None:
    """Return as soon as one address of the broker answers. All are asked in parallel, since one
    that is silent would use up the time of the next."""
    ensure_embedded_broker()
    asked = [_address(url).begin() for url in app.conf.broker_write_url.split(";")]
    for answered in as_completed(asked):
        if answered.exception() is None:
            return
    asked[0].result()  # raises its error


@cache
def _address(url: str) -> BackgroundRead[None]:
    return BackgroundRead(lambda: _connect(url), name="health of an address")


def _connect(url: str) -> None:
    with app.connection_for_write(url) as broker:
        broker.ensure_connection(max_retries=0)


_CHECKS = {
    "database": BackgroundRead(_ask_database, name="health"),
    "broker": BackgroundRead(_ask_broker, name="health"),
}
