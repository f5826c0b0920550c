"""simple-salesforce on a connection's token: a REST client that needs no login of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests

from listeners.salesforce.errors import AnswerTooLarge
from listeners.salesforce.http.addresses import host_of
from listeners.salesforce.http.answer_limits import HANDLER
from listeners.salesforce.http.request import BearerAuth, too_large
from listeners.salesforce.http.session import ConfiguredSession
from listeners.salesforce.tokens.tokens import Token, Tokens

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

#: What these clients call themselves: changes that they write carry it in `changeOrigin`.
CLIENT_ID = "salesforce-cdc"
TIMEOUT = (10.0, 120.0)  # seconds to connect, and of silence
_PLACEHOLDER = "set by the session"
_BULK_SESSION = "X-SFDC-Session"
_CHUNK = 256 * 1024


class TokenSession(ConfiguredSession):
    """Sends each request with the token that is due, and once more after a new login when
    Salesforce refuses it. The token goes to the instance that it is for, and nowhere else."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens
        self._hosts = {_host(tokens.get().instance_url)}
        self.headers["Sforce-Call-Options"] = f"client={CLIENT_ID}"
        self.hooks["response"].append(_read)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Any:
        """Raises what requests raises, `LoginRefused`, `LoginUnavailable` and `AnswerTooLarge`.

        With ``stream=True`` the caller reads the answer, of whatever size.
        """
        kwargs.setdefault("timeout", TIMEOUT)
        text = url if isinstance(url, str) else url.decode()
        if _host(text) not in self._hosts:
            return super().request(method, text, *args, **kwargs)
        token = self._tokens.get()
        answer = self._sent(token, method, text, *args, **kwargs)
        if answer.status_code != 401:
            return answer
        self._tokens.invalidate(token)
        return self._sent(self._tokens.get(), method, text, *args, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """An org's redirect to another host is not followed: what was sent is for that org alone,
        and the caller gets the answer as it came."""
        target = super().get_redirect_target(resp)
        asked = _host(str(resp.url))
        if target is None or asked not in self._hosts:
            return target
        return target if _host(urljoin(str(resp.url), target)) == asked else None

    def _sent(self, token: Token, method: str | bytes, url: str, *args: Any, **kwargs: Any) -> Any:
        self._hosts.add(_host(token.instance_url))  # an org may move
        parts = urlsplit(url)
        address = f"{token.instance_url}{parts.path}{'?' if parts.query else ''}{parts.query}"
        kwargs |= {"auth": BearerAuth(token.access_token)}
        if _BULK_SESSION in (kwargs.get("headers") or {}):  # Bulk API 1.0 has it there
            kwargs["headers"] = {**kwargs["headers"], _BULK_SESSION: token.access_token}
        return super().request(method, address, *args, **kwargs)


def rest_client(session: TokenSession, tokens: Tokens, api_version: str) -> Salesforce:
    """A `simple_salesforce.Salesforce`, whose every request goes through `session`."""
    # Imported by the first client: a SOAP library comes with it, which most processes don't use.
    from simple_salesforce.api import Salesforce

    return Salesforce(
        instance_url=tokens.get().instance_url,
        session_id=_PLACEHOLDER,
        session=session,
        version=api_version,
    )


def _read(response: requests.Response, *, stream: bool = False, **_: Any) -> None:
    """Read the answer before requests does, which has no limit."""
    if stream:
        return
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > HANDLER.size:
            break
    if over := HANDLER.flaw(body):
        response.close()
        host = host_of(str(response.url))
        raise AnswerTooLarge(too_large(host, response.status_code, over, HANDLER))
    response._content = bytes(body)  # as requests keeps what it has read


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or {'http': 80}.get(parts.scheme, 443)}"
