"""Health of the web process: alive, and ready when the database and the broker answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from cdcproject.celery import app
from cdcproject.process.embedded_broker import ensure_embedded_broker
from consumer.status import metrics_page
from consumer.status.cached_reads import BackgroundRead

#: Seconds after which the database or the broker counts as away. Both are asked at once.
TIMEOUT_SECONDS = 3.0


class Probes:
    """Middleware that answers /healthz/… and /metrics before the host's name is looked at.

    An orchestrator asks by address: ALLOWED_HOSTS is not for it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match request.path_info:
            case "/healthz/live":
                return live(request)
            case "/healthz/ready":
                return ready(request)
            case "/metrics":
                return metrics(request)
            case _:
                return self._get_response(request)


def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> HttpResponse:
    """200 when both answer, otherwise 503, within TIMEOUT_SECONDS; either way, what each of them
    said."""
    asked = {name: check.begin() for name, check in _CHECKS.items()}
    wait(asked.values(), timeout=TIMEOUT_SECONDS)
    checks = {name: _answer(future) for name, future in asked.items()}
    healthy = all(answer == "ok" for answer in checks.values())
    return JsonResponse(
        {"status": "ok" if healthy else "unavailable", **checks}, status=200 if healthy else 503
    )


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(metrics_page.page(), content_type=metrics_page.CONTENT_TYPE)


def _answer(check: Future[None]) -> str:
    if not check.done():
        return f"no answer in {TIMEOUT_SECONDS:.0f} seconds"
    error = check.exception()
    return "ok" if error is None else type(error).__name__


def _ask_database() -> None:
    """Over a new connection: the answer includes whether there is one to be had."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_broker() -> None:
    ensure_embedded_broker()
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=max(1, len(broker.alt) - 1), timeout=2)


_CHECKS = {
    "database": BackgroundRead(_ask_database, name="health"),
    "broker": BackgroundRead(_ask_broker, name="health"),
}
