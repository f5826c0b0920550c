"""Sends an HTTP request and returns its answer or failure as a value.

``requests`` quotes URLs, header values and proxy addresses in its exceptions. This module converts
them to a ``TransportFailed`` with its own text, so that no secret can leak through an exception,
its context or its traceback.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import requests
import urllib3
from requests.auth import AuthBase

from listeners.salesforce.errors import (
    AnswerTooLarge,
    DestinationRefused,
    LoginUnavailable,
    TransportFailed,
)
from listeners.salesforce.fast_json import parsed
from listeners.salesforce.http.addresses import host_of
from listeners.salesforce.http.answer_limits import DEEPEST, LOGIN, AnswerLimit, is_deeper

_CHUNK = 256 * 1024
#: Statuses below 500 of a server or of Salesforce's edge that cannot answer now. The edge sends 420
#: while it does not know the way to the org, and sometimes 406, with an empty or HTML body.
_PASSING = frozenset({406, 408, 420, 421, 425, 429})
_LONGEST_NUMBER = 4000  # digits; Python parses up to 4300
# The lowest accepted rate of a body, in bytes per second: a proxy that sends spaces to keep a
# connection open would otherwise block a request for ever.
SLOWEST = 8 * 1024

KNOWN_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
    UnicodeError,
)

Timeout = tuple[float, float]  # seconds to connect, seconds between bytes of the answer


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer of any status."""

    status: int
    headers: Mapping[str, str]
    set_cookies: tuple[str, ...] = field(repr=False)  # the unparsed header values
    body: bytes = field(repr=False)

    def json(self, deepest: int | None = DEEPEST, number: type[float | Decimal] = float) -> Any:
        """Return the body as JSON. Raises ValueError for other text and for too deep nesting.

        ``deepest``: the limit for nested arrays and objects; None for no limit. ``number``: the
        type of numbers that are not whole.
        """
        try:
            found = _parsed(self.body, number)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if deepest is not None and is_deeper(found, deepest):
            raise ValueError("nested too deeply")
        return found

    def json_or_none(self, number: type[float | Decimal] = float) -> Any:
        try:
            return self.json(number=number)
        except ValueError:
            return None

    @property
    def is_unavailable(self) -> bool:
        """Whether the server cannot answer the request now, by the status."""
        return self.status >= 500 or self.status in _PASSING

    def unavailable(self) -> TransportFailed:
        return TransportFailed(
            f"HTTP {self.status}", status=self.status, retry_after=self.retry_after()
        )

    def hiding(self, *secrets: str) -> Answer:
        """Return the answer without these secrets, which a server may repeat in its body."""
        body = self.body
        for secret in filter(None, secrets):
            for form in {
                secret,
                quote(secret),
                quote_plus(secret),
                escape(secret),
                json.dumps(secret)[1:-1],
                json.dumps(secret, ensure_ascii=False)[1:-1],
                base64.b64encode(secret.encode()).decode(),
            }:
                body = body.replace(form.encode(), b"...")
        return replace(self, body=body)

    def text(self) -> str:
        """Return the body as text, with escapes for bytes that are not UTF-8."""
        return self.body.decode(errors="backslashreplace")

    def date(self) -> datetime | None:
        """Return the server's time from the Date header, or None."""
        try:
            date = parsedate_to_datetime(self.headers.get("Date", ""))
        except (ValueError, OverflowError):
            return None
        return date if date.tzinfo else date.replace(tzinfo=UTC)

    def retry_after(self) -> float | None:
        """Return the Retry-After header in seconds from now, or None."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdecimal():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None


def _parsed(body: bytes, number: type[float | Decimal]) -> Any:
    """Parse JSON. A whole number that is too long for Python becomes infinite, like 1e999."""
    try:
        return parsed(body) if number is float else json.loads(body, parse_float=number)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        return json.loads(body, parse_float=number, parse_int=_whole)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_NUMBER else math.inf


class BearerAuth(AuthBase):
    """Sets the bearer token; passed as ``auth`` so that a .netrc entry cannot replace it."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


class NoAuth(AuthBase):
    """Sends no credentials; passed as ``auth`` so that no .netrc entry is sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def exchange(
    http: requests.Session,
    method: str,
    url: str,
    *,
    auth: AuthBase,
    timeout: Timeout,
    limit: AnswerLimit,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer | TransportFailed:
    """Send a request and read the whole answer, up to ``limit``. Redirects are not followed.

    The whole exchange may take twice the read timeout, and longer for large answers. Raises
    ``DestinationRefused`` if the session may not send requests to that address.
    """
    began = time.monotonic()
    try:
        with http.request(
            method,
            url,
            data=data,
            headers=headers,
            auth=auth,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            return _read(response, began + 2 * timeout[1], limit, host_of(url))
    except DestinationRefused as refused:
        raise refused.with_traceback(None) from None  # the frames contain the request's secrets
    except KNOWN_FAILURES as failure:
        if is_refused_by_proxy(failure):
            return Answer(407, {}, (), b"")  # the same as for a plain http request
        return explained(failure, host_of(url), timeout)


def login_exchange(*args: Any, **kwargs: Any) -> Answer:
    """Call ``exchange`` for a login, whose failures are login errors."""
    try:
        answer = exchange(*args, limit=LOGIN, **kwargs)
    except DestinationRefused as refused:
        raise refused.as_login_failure() from None
    if isinstance(answer, TransportFailed):
        raise LoginUnavailable(answer.why, may_have_worked=answer.was_sent)
    return answer


def _read(
    response: requests.Response, deadline: float, limit: AnswerLimit, host: str
) -> Answer | TransportFailed:
    body = bytearray()
    while len(body) <= limit.size and (chunk := response.raw.read1(_CHUNK, decode_content=True)):
        body += chunk
        if time.monotonic() > deadline + len(body) / SLOWEST:
            return TransportFailed("the answer was too slow to complete", is_silence=True)
    if over := limit.flaw(body):
        return AnswerTooLarge(too_large(host, response.status_code, over, limit))
    raw_headers = response.raw.headers
    return Answer(
        status=response.status_code,
        headers=response.headers,
        set_cookies=tuple(raw_headers.getlist("Set-Cookie")),
        body=bytes(body),
    )


def too_large(host: str, status: int, over: str, limit: AnswerLimit) -> str:
    return f"{host} answered HTTP {status} with {over}, the limit for {limit.kind}"


# By exception (the first match wins): whether the request may have been sent, and the message.
_FAILURES: tuple[tuple[type[Exception], bool, str], ...] = (
    (urllib3.exceptions.NameResolutionError, False, "the host name of {host} cannot be resolved"),
    (urllib3.exceptions.NewConnectionError, False, "{host} cannot be reached"),
    (
        urllib3.exceptions.ConnectTimeoutError,
        False,
        "{host} did not accept a connection within {connect:g} s",
    ),
    (urllib3.exceptions.ReadTimeoutError, True, "{host} sent nothing for {read:g} s"),
    (TimeoutError, True, "{host} sent nothing for {read:g} s"),
    (urllib3.exceptions.SSLError, True, "no trusted TLS connection to {host}"),
    (urllib3.exceptions.ProxyError, True, "the proxy to {host} failed"),
    (
        urllib3.exceptions.ProtocolError,
        True,
        "{host} closed the connection before the answer was complete",
    ),
    (Exception, True, "the request to {host} failed ({kind})"),
)
_SILENCES = (urllib3.exceptions.ReadTimeoutError, TimeoutError)


def explained(failure: Exception, host: str, timeout: Timeout) -> TransportFailed:
    """Return the failure of a request to `host`, without any text of `requests`."""
    reason = _root(failure)
    was_sent, words = next(row[1:] for row in _FAILURES if isinstance(reason, row[0]))
    kind = type(reason).__name__
    why = words.format(host=host, connect=timeout[0], read=timeout[1], kind=kind)
    return TransportFailed(why, is_silence=isinstance(reason, _SILENCES), was_sent=was_sent)


def is_refused_by_proxy(failure: Exception) -> bool:
    """Return whether a proxy answered HTTP 407 to CONNECT."""
    reason = _root(failure)
    return isinstance(reason, urllib3.exceptions.ProxyError) and (
        "Tunnel connection failed: 407" in str(reason.original_error)
    )


def _root(failure: Exception) -> Exception:
    """Return the urllib3 exception that ``requests`` wrapped, or ``failure`` itself."""
    inner = failure.args[0] if failure.args else None
    if isinstance(inner, urllib3.exceptions.MaxRetryError) and inner.reason is not None:
        return inner.reason
    return inner if isinstance(inner, urllib3.exceptions.HTTPError) else failure
