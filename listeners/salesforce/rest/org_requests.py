"""JSON requests to an org, with its current token."""

from __future__ import annotations

import json
from typing import Any

import requests

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.http.answer_limits import AnswerLimit
from listeners.salesforce.http.request import Answer, BearerAuth, Timeout, exchange
from listeners.salesforce.rest.answers import usage_of
from listeners.salesforce.tokens.tokens import Token, Tokens


class OrgRequests:
    """Sends requests to the org's instance, and replaces a refused token once.

    The base of the clients of its APIs. `usage` has the org's used and allowed daily requests, from
    the last answer.
    """

    def __init__(
        self, tokens: Tokens, timeout: Timeout, http: requests.Session | None = None
    ) -> None:
        self._tokens = tokens
        self._timeout = timeout
        self._http = http or requests.Session()
        self.usage: tuple[int, int] | None = None

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, limit: AnswerLimit
    ) -> Answer:
        """Send a request and return the answer, whatever its status. Raises TransportFailed."""
        token = self._tokens.get()
        answer = self._exchange(token, method, path, body, limit)
        if answer.status == 401:
            self._tokens.invalidate(token)
            answer = self._exchange(self._tokens.get(), method, path, body, limit)
        self.usage = usage_of(answer) or self.usage
        return answer

    def _exchange(
        self, token: Token, method: str, path: str, body: dict[str, Any] | None, limit: AnswerLimit
    ) -> Answer:
        json_type = {} if body is None else {"Content-Type": "application/json"}
        answer = exchange(
            self._http,
            method,
            f"{token.instance_url}{path}",
            auth=BearerAuth(token.access_token),
            timeout=self._timeout,
            limit=limit,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", **json_type},
        )
        if isinstance(answer, TransportFailed):
            raise answer
        return answer
