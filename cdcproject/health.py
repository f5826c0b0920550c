"""Health of the web process: alive, and ready when the database and the broker answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from kombu.exceptions import OperationalError

from cdcproject.broker import ensure_embedded_broker
from cdcproject.celery import app
from consumer import exposition

#: Seconds after which who does not answer counts as away; the two are asked at once.
PATIENCE_SECONDS = 3.0


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


class Question:
    """Asked in a thread of its own, since what hangs cannot be interrupted: one thread at a time,
    whoever else asks meanwhile waits for the same answer."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answered: threading.Event | None = None
        self._answer = ""

    def begin(self) -> threading.Event:
        """Set once `answer` has the answer of now."""
        with self._lock:
            if self._answered is None:
                self._answered = threading.Event()
                threading.Thread(target=self._run, name="health", daemon=True).start()
            return self._answered

    def answer(self, answered: threading.Event, deadline: float) -> str:
        if answered.wait(max(0.0, deadline - time.monotonic())):
            return self._answer
        return f"no answer in {PATIENCE_SECONDS:.0f} seconds"

    def _run(self) -> None:
        answer = "failed"
        try:
            answer = self._ask()
        finally:
            with self._lock:
                answered, self._answered = self._answered, None
                self._answer = answer
            if answered is not None:
                answered.set()


def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> HttpResponse:
    """200 when both answer, otherwise 503, within PATIENCE_SECONDS; either way, what each of them
    said."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = {name: (one, one.begin()) for name, one in _QUESTIONS.items()}
    checks = {name: one.answer(answered, deadline) for name, (one, answered) in asked.items()}
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
            broker.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError, RuntimeError) as error:
        return type(error).__name__
    return "ok"


_QUESTIONS = {"database": Question(_database), "broker": Question(_broker)}
