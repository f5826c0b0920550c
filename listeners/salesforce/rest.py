"""The few REST reads of a connection check."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import requests

from listeners.salesforce.answers import status_reaction
from listeners.salesforce.errors import Reaction, RestRefused, SalesforceError, TransportFailed
from listeners.salesforce.exchange import Answer, BearerAuth, Timeout, Unanswered, exchange
from listeners.salesforce.tokens import Token, Tokens

Kind = TypeVar("Kind")
DEFAULT_VERSION = "67.0"


class RestClient:
    """Reads under ``{instance}/services/data``. A refused token is replaced once.

    Each method raises ``LoginRefused``, ``LoginUnavailable``, ``TransportFailed`` or
    ``RestRefused``.
    """

    def __init__(
        self,
        tokens: Tokens,
        api_version: str = DEFAULT_VERSION,
        timeout: Timeout = (10.0, 30.0),
        *,
        http: requests.Session | None = None,
    ) -> None:
        self._tokens = tokens
        self._base = f"/services/data/v{api_version}"
        self._timeout = timeout
        self._http = http or requests.Session()

    def versions(self) -> list[dict[str, Any]]:
        """The API versions the instance offers: ``[{"label", "url", "version"}, …]``."""
        return _typed(self._get("/services/data/"), list)

    def limits(self) -> dict[str, Any]:
        """``{"DailyDeliveredPlatformEvents": {"Max", "Remaining"}, …}``."""
        return _typed(self._get(f"{self._base}/limits/"), dict)

    def record(self, entity: str, record_id: str) -> dict[str, Any] | None:
        """The record's fields, or None if it does not exist (or may not be seen)."""
        path = f"{self._base}/sobjects/{quote(entity, safe='')}/{quote(record_id, safe='')}"
        try:
            return _typed(self._get(path), dict)
        except RestRefused as refusal:
            if refusal.status == 404 and refusal.error_code in {"NOT_FOUND", "ENTITY_IS_DELETED"}:
                return None
            raise

    def _get(self, path: str) -> Answer:
        token = self._tokens.get()
        answer = self._send(token, path)
        if answer.status == 401:
            self._tokens.invalidate(token)
            answer = self._send(self._tokens.get(), path)
        if answer.status == 200:
            return answer
        raise _failure(answer)

    def _send(self, token: Token, path: str) -> Answer:
        answer = exchange(
            self._http,
            "GET",
            f"{token.instance_url}{path}",
            auth=BearerAuth(token.access_token),
            timeout=self._timeout,
            headers={"Accept": "application/json"},
        )
        if isinstance(answer, Unanswered):
            raise TransportFailed(answer.why)
        return answer


def _failure(answer: Answer) -> SalesforceError:
    if answer.status >= 500 or answer.status in {408, 429}:
        return TransportFailed(
            f"HTTP {answer.status}", status=answer.status, retry_after=answer.retry_after()
        )
    try:
        body = answer.json()
    except ValueError:
        body = None
    match body:
        case [{"errorCode": str(code), "message": str(message)}, *_]:
            pass
        case _:
            code, message = "", "without Salesforce's own explanation"
    reaction = status_reaction(answer.status, [code])
    if reaction is Reaction.NEW_TOKEN:  # it was just replaced
        reaction = Reaction.BACK_OFF_LONG
    return RestRefused(answer.status, code, message, reaction)


def _typed(answer: Answer, kind: type[Kind]) -> Kind:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, kind):
        return body
    raise TransportFailed("HTTP 200 with a page that is no REST answer", status=200)
