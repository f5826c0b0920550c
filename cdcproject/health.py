"""Health of the web process: alive, and ready when the database and the broker answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from kombu.exceptions import OperationalError

from cdcproject.broker import ensure_embedded_broker
from cdcproject.celery import app
from consumer import exposition
from consumer.question import Question

#: Seconds after which who does not answer counts as away; the two are asked at once.
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
    deadline = time.monotonic() + TIMEOUT_SECONDS
    late = f"no answer in {TIMEOUT_SECONDS:.0f} seconds"
    asked = {name: (one, one.begin()) for name, one in _QUESTIONS.items()}
    checks = {
        name: one.answer(answered, deadline - time.monotonic(), late=late)
        for name, (one, answered) in asked.items()
    }
    healthy = all(answer == "ok" for answer in checks.values())
    return JsonResponse(
        {"status": "ok" if healthy else "unavailable", **checks}, status=200 if healthy else 503
    )


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(exposition.page(), content_type=exposition.CONTENT_TYPE)


def _database() -> str:
    """Over a connection of its own: whether one can be had is part of the question."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return type(error).__name__
    finally:
        connection.close()
    return "ok"


def _broker() -> str:
    try:
        ensure_embedded_broker()
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=max(1, len(broker.alt) - 1), timeout=2)
    except (OperationalError, OSError, RuntimeError) as error:
        return type(error).__name__
    return "ok"


_QUESTIONS = {
    name: Question(ask, failed="failed", name="health")
    for name, ask in (("database", _database), ("broker", _broker))
}
