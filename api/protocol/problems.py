"""Every answer that is no success, as RFC 9457 has it (`application/problem+json`).

Conflict   what was asked for contradicts what is stored: take that away first
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import structlog
from django.core.signals import got_request_exception
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from api.protocol.rendering import ProblemRenderer

log = structlog.get_logger("api")

INVALID = "Nothing was changed: correct what errors names."


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The database changed at the same time; send it again."
    default_code = "conflict"


def answer(exc: Exception, context: dict[str, Any]) -> Response:
    """REST_FRAMEWORK's EXCEPTION_HANDLER."""
    if isinstance(exc, AuthenticationFailed | NotAuthenticated):
        exc = _throttled(context) or exc
    response = exception_handler(exc, context) or _unforeseen(exc, context)
    is_invalid = isinstance(exc, ValidationError)
    response.data = {
        "type": "about:blank",
        "title": HTTPStatus(response.status_code).phrase,
        "status": response.status_code,
        "detail": INVALID if is_invalid else str(response.data["detail"]),
        "errors": list(_errors(response.data, "")) if is_invalid else [],
    }
    _render_as_problem(context["request"])
    return response


def _throttled(context: dict[str, Any]) -> Throttled | None:
    """DRF asks who it is before it counts how often: guesses of a token would not be counted."""
    try:
        context["view"].check_throttles(context["request"])
    except Throttled as often:
        return often
    return None


def _render_as_problem(request: Request) -> None:
    """Whatever was asked for: a page of HTML or YAML says a problem in JSON too."""
    request.accepted_renderer = ProblemRenderer()
    request.accepted_media_type = ProblemRenderer.media_type


def _unforeseen(exc: Exception, context: dict[str, Any]) -> Response:
    """Here and not in Django, whose page for it would show the secrets of a request."""
    request = context["request"]
    got_request_exception.send(sender=answer, request=request._request)
    log.error("request failed", method=request.method, path=request.path, exc_info=exc)
    return Response({"detail": "Something failed here; the server's log says what."}, 500)


def _errors(found: Any, path: str) -> Iterator[dict[str, str]]:
    """Each message with the path of its field; an empty one is the whole request."""
    match found:
        case dict():
            for name, below in found.items():
                yield from _errors(below, path if name == _WHOLE else _joined(path, str(name)))
        case list() if any(isinstance(one, dict | list) for one in found):
            for number, below in enumerate(found):
                yield from _errors(below, _joined(path, str(number)))
        case list():
            yield from ({"field": path, "message": str(message)} for message in found)
        case _:
            yield {"field": path, "message": str(found)}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_WHOLE = api_settings.NON_FIELD_ERRORS_KEY
