"""Error responses by RFC 9457 (`application/problem+json`).

Conflict     the request contradicts the stored state: change that first, or repeat the request
Gone         what was asked for existed and does not exist any more
Unavailable  something that the answer needs cannot be reached now: repeat the request later
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

INVALID = "Nothing was changed. Correct the fields listed in errors."


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "Another request changed the same data. Send the request again."
    default_code = "conflict"


class Gone(APIException):
    status_code = HTTPStatus.GONE
    default_code = "gone"


class Unavailable(APIException):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"


def answer(exc: Exception, context: dict[str, Any]) -> Response:
    """Return the response for an exception; the EXCEPTION_HANDLER of REST_FRAMEWORK."""
    if isinstance(exc, AuthenticationFailed | NotAuthenticated):
        exc = _throttled(context) or exc
    response = exception_handler(exc, context) or _unexpected(exc, context)
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
    """Return the exception for too many requests, if there were.

    DRF checks throttles after the authentication, so that guessed tokens would not be counted.
    """
    try:
        context["view"].check_throttles(context["request"])
    except Throttled as error:
        return error
    return None


def _render_as_problem(request: Request) -> None:
    """Render the response as a problem, whatever format was requested."""
    request.accepted_renderer = ProblemRenderer()
    request.accepted_media_type = ProblemRenderer.media_type


def _unexpected(exc: Exception, context: dict[str, Any]) -> Response:
    """Return a 500 response. Django's page would show the secrets of a request."""
    request = context["request"]
    got_request_exception.send(sender=answer, request=request._request)
    log.error("request failed", method=request.method, path=request.path, exc_info=exc)
    return Response({"detail": "Internal server error. See the log of the web server."}, 500)


def _errors(found: Any, path: str) -> Iterator[dict[str, str]]:
    """Yield each message with the path of its field; an empty path is the whole request."""
    match found:
        case dict():
            for name, inner in found.items():
                yield from _errors(inner, path if name == _WHOLE else _joined(path, str(name)))
        case list() if any(isinstance(item, dict | list) for item in found):
            for number, inner in enumerate(found):
                yield from _errors(inner, _joined(path, str(number)))
        case list():
            yield from ({"field": path, "message": str(message)} for message in found)
        case _:
            yield {"field": path, "message": str(found)}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_WHOLE = api_settings.NON_FIELD_ERRORS_KEY
