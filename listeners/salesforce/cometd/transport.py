"""The HTTP transport of a CometD stream: one connection to an instance, with its cookies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from listeners.salesforce.errors import Reaction, StreamRefused, TransportFailed
from listeners.salesforce.http.answer_limits import EVENTS, ORG
from listeners.salesforce.http.interrupt import InterruptibleAdapter
from listeners.salesforce.http.request import (
    Answer,
    BearerAuth,
    NoAuth,
    Timeout,
    exchange,
)
from listeners.salesforce.http.session import ConfiguredSession, HttpConfig, session_of
from listeners.salesforce.tokens.tokens import Token

REQUEST_LIMIT = 32_768  # bytes; Salesforce answers larger requests with 413
_SHORTEST_SECRET = 6  # characters; Salesforce's tokens have about a hundred
_PARTING_TIMEOUT: Timeout = (2.0, 2.0)
_HEADERS = {"Content-Type": "application/json;charset=UTF-8", "Accept": "application/json"}

Request = Sequence[Mapping[str, Any]]


class HttpTransport:
    """Sends one request at a time, until any thread calls ``hang_up``."""

    def __init__(self, config: HttpConfig, keep_alive: float) -> None:
        """``keep_alive``: seconds of silence before TCP keep-alive probes start."""
        self._cookies = RawCookies()
        self._adapter = InterruptibleAdapter(keep_alive, config.route)
        self._http = _without_cookies(session_of(config))
        self._http.mount("http://", self._adapter)
        self._http.mount("https://", self._adapter)
        self._config = config

    def send(
        self, token: Token, path: str, request: Request, timeout: Timeout
    ) -> Answer | TransportFailed:
        """POST ``request`` as one JSON array, and keep the answer's cookies.

        The token is removed from the answer, which may be quoted and stored.
        """
        answer = self._post(self._http, token, path, request, timeout)
        if not isinstance(answer, Answer):
            return answer
        self._cookies.store(answer.set_cookies)
        secret = token.access_token
        # Only rewrite the body, which may be large, if it contains the token. A very short token of
        # a test server would also match parts of the changes.
        repeats = len(secret) >= _SHORTEST_SECRET and secret.encode() in answer.body
        return answer.hiding(secret) if repeats else answer

    def forget_cookies(self) -> None:
        """Remove the cookies before a new session: they may route to a node that is gone."""
        self._cookies.clear()

    def interrupt(self) -> None:
        """Abort the request that another thread waits for, and all later requests."""
        self._adapter.interrupt()

    def cut(self) -> None:
        """Abort the request that another thread waits for, but no later request."""
        self._adapter.cut()

    def is_answered(self, instance_url: str, seconds: float) -> bool:
        """Return whether the instance answers a small request on a separate connection.

        Requests the list of API versions, which needs no token and counts against no limit.
        """
        with self._separate_session() as http:
            answer = exchange(
                http,
                "GET",
                f"{instance_url}/services/data/",
                auth=NoAuth(),
                timeout=(seconds, seconds),
                limit=ORG,
                headers={"Accept": "application/json"},
            )
        return isinstance(answer, Answer)

    def hang_up(self, token: Token, path: str, parting: Request) -> None:
        """Send the last requests on a separate connection, ignoring errors, and close."""
        if parting:
            with self._separate_session() as http:
                self._post(http, token, path, parting, _PARTING_TIMEOUT)
        self._http.close()

    def _separate_session(self) -> requests.Session:
        """Return a session for requests beside the one that another thread waits for."""
        return _without_cookies(session_of(self._config))

    def _post(
        self,
        http: requests.Session,
        token: Token,
        path: str,
        request: Request,
        timeout: Timeout,
    ) -> Answer | TransportFailed:
        body = json.dumps(request).encode()
        if len(body) > REQUEST_LIMIT:
            error = f"the request has {len(body)} bytes; the maximum is {REQUEST_LIMIT}"
            raise StreamRefused(str(request[0]["channel"]), error, Reaction.CONFIGURATION)
        return exchange(
            http,
            "POST",
            f"{token.instance_url}{path}",
            auth=BearerAuth(token.access_token),
            timeout=timeout,
            limit=EVENTS,
            data=body,
            headers={**_HEADERS, **self._cookies.header()},
        )


def _without_cookies(session: ConfiguredSession) -> ConfiguredSession:
    """Keep the cookie jar of the session empty."""
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class RawCookies:
    """The cookies of a session with one host, kept exactly as the server sent them."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def clear(self) -> None:
        self._values = {}

    def store(self, set_cookies: Iterable[str]) -> None:
        """Store cookies from ``Set-Cookie`` headers; an expired one removes its cookie."""
        values = dict(self._values)
        for header in set_cookies:
            pair, *attributes = header.split(";")
            name, separator, value = pair.partition("=")
            if not separator or not name.strip():
                continue
            if _is_expired(attributes):
                values.pop(name.strip(), None)
            else:
                values[name.strip()] = value.strip()
        self._values = values  # replaced as a whole, because closing threads call ``header``

    def header(self) -> dict[str, str]:
        """Return the request header, ``{"Cookie": "a=b; c=d"}``; empty without cookies."""
        pairs = [f"{name}={value}" for name, value in self._values.items()]
        return {"Cookie": "; ".join(pairs)} if pairs else {}


def _is_expired(attributes: list[str]) -> bool:
    found = {
        name.strip().lower(): value.strip()
        for name, _, value in (attribute.partition("=") for attribute in attributes)
    }
    if "max-age" in found:  # has precedence over Expires
        return found["max-age"].startswith("-") or found["max-age"].strip("0") == ""
    try:
        return parsedate_to_datetime(found.get("expires", "")).timestamp() <= time.time()
    except (ValueError, OverflowError):
        return False
