"""A simple-salesforce client that uses a connection's token instead of its own login."""

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

#: The client name, which Salesforce puts in the `changeOrigin` of changes that these clients write.
CLIENT_ID = "salesforce-cdc"
TIMEOUT = (10.0, 120.0)  # seconds to connect, and between bytes of the answer
_PLACEHOLDER = "set by the session"
_BULK_SESSION = "X-SFDC-Session"
_CHUNK = 256 * 1024


class TokenSession(ConfiguredSession):
    """Sends each request with the current token, and again with a new one if it is refused.

    The token is sent only to the org's instance.
    """

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens
        self._hosts = {_host(tokens.get().instance_url)}
        self.headers["Sforce-Call-Options"] = f"client={CLIENT_ID}"
        self.hooks["response"].append(_read)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> Any:
        """Send a request. With ``stream=True`` the caller reads the answer, without a size limit.

        Raises `LoginRefused`, `LoginUnavailable`, `AnswerTooLarge` and the exceptions of requests.
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
        """Return no target for an org's redirect to another host: the request is for the org only.

        The caller then gets the redirect itself as the answer.
        """
        target = super().get_redirect_target(resp)
        host = _host(str(resp.url))
        if target is None or host not in self._hosts:
            return target
        return target if _host(urljoin(str(resp.url), target)) == host else None

    def _sent(self, token: Token, method: str | bytes, url: str, *args: Any, **kwargs: Any) -> Any:
        self._hosts.add(_host(token.instance_url))  # an org may move to another instance
        parts = urlsplit(url)
        address = f"{token.instance_url}{parts.path}{'?' if parts.query else ''}{parts.query}"
        kwargs |= {"auth": BearerAuth(token.access_token)}
        if _BULK_SESSION in (kwargs.get("headers") or {}):  # Bulk API 1.0 sends the token there
            kwargs["headers"] = {**kwargs["headers"], _BULK_SESSION: token.access_token}
        return super().request(method, address, *args, **kwargs)


def rest_client(session: TokenSession, tokens: Tokens, api_version: str) -> Salesforce:
    """Return a `simple_salesforce.Salesforce` whose requests all go through `session`."""
    # Imported on first use, because it loads a SOAP library that most processes do not need.
    from simple_salesforce.api import Salesforce

    return Salesforce(
        instance_url=tokens.get().instance_url,
        session_id=_PLACEHOLDER,
        session=session,
        version=api_version,
    )


def _read(response: requests.Response, *, stream: bool = False, **_: Any) -> None:
    """Read the answer up to the size limit, before requests reads it without one."""
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
    response._content = bytes(body)  # where requests keeps the body


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or {'http': 80}.get(parts.scheme, 443)}"
