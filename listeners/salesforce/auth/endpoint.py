"""The token endpoint ``POST {login}/services/oauth2/token``: the form, and its real answers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from listeners.salesforce.errors import LoginRefused, LoginUnavailable, SalesforceError
from listeners.salesforce.exchange import (
    Answer,
    Timeout,
    Unanswered,
    exchange,
    host_of,
    is_web_url,
)
from listeners.salesforce.tokens import Granted, Token

DEFAULT_TIMEOUT: Timeout = (10.0, 30.0)

# Found in error or error_description: the endpoint wants to be asked again, with pauses.
_PASSING = (
    "token request is already being processed",
    "login rate exceeded",
    "retry your request",
    "server_error",
    "temporarily_unavailable",
)
# Found in error or error_description: what the operator should do.
_REMEDIES = (
    ("authentication failure", "Check the user name, and the password with its security token."),
    ("expired access/refresh token", "Authorize again and store the new refresh token."),
    ("request not supported on this domain", "Use the org's own domain in the token URL."),
    ("no client credentials user enabled", "Name a run-as user in the app's settings."),
    ("invalid_client_id", "Check the client id; a new app takes minutes to become known."),
    ("client identifier invalid", "Check the client id; a new app takes minutes to become known."),
    ("invalid_client", "Check the client secret."),
    ("unsupported_grant_type", "Allow this OAuth flow in the org and in the app's settings."),
)


class CredentialBearer(StrEnum):
    """Where the client id and secret travel."""

    AUTH_HEADER = "auth_header"
    POST_BODY = "post_body"


class _ClientAuth(AuthBase):
    """HTTP Basic, or nothing at all: given in any case, so that no .netrc entry is sent."""

    def __init__(self, client: tuple[str, str] | None) -> None:
        self._client = client

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._client is not None:
            pair = base64.b64encode(":".join(self._client).encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return request


def request_token(
    http: requests.Session,
    token_url: str,
    form: Mapping[str, str],
    *,
    client: tuple[str, str],
    bearer: CredentialBearer,
    timeout: Timeout,
) -> Granted:
    """Post ``form`` with the ``client`` (id, secret) and read the answer.

    Raises ``LoginRefused`` with Salesforce's words, or ``LoginUnavailable``.
    """
    if not is_web_url(token_url):
        raise LoginRefused("the token URL is not an http(s) URL", remedy="Correct the token URL.")
    in_header = bearer == CredentialBearer.AUTH_HEADER
    in_body = {} if in_header else dict(zip(("client_id", "client_secret"), client, strict=True))
    answer = exchange(
        http,
        "POST",
        token_url,
        auth=_ClientAuth(client if in_header else None),
        timeout=timeout,
        data={**form, **in_body},
        headers={"Accept": "application/json"},
    )
    if isinstance(answer, Unanswered):
        raise LoginUnavailable(answer.why)
    return _granted(answer, host_of(token_url))


def _granted(answer: Answer, host: str) -> Granted:
    if answer.status != 200:
        raise _failure(answer, host)
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise LoginUnavailable(f"{host} answered with a page that is no token answer")
    if "access_token" not in body and "error" in body:
        raise _refusal(body, answer)
    instance_url = str(body.get("instance_url") or "").rstrip("/")
    if not is_web_url(instance_url):
        raise LoginRefused(f"{host} gave no usable instance_url")
    refresh_token = body.get("refresh_token")
    org_id, user_id = _identity(body.get("id"))
    token = Token(
        access_token=_header_safe(body.get("access_token"), host),
        instance_url=instance_url,
        org_id=org_id,
        user_id=user_id,
        issued_at=_milliseconds(body.get("issued_at")),
        scope=_text_or_none(body.get("scope")),
    )
    return Granted(token, _text_or_none(refresh_token))


def _failure(answer: Answer, host: str) -> SalesforceError:
    if answer.status >= 500 or answer.status in {408, 429}:
        why = f"{host} answered HTTP {answer.status}"
        return LoginUnavailable(why, retry_after=answer.retry_after())
    if 300 <= answer.status < 400:
        elsewhere = host_of(answer.headers.get("Location", ""))
        return LoginRefused(f"{host} redirects to {elsewhere}", remedy="Correct the token URL.")
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return _refusal(body, answer)
    return LoginRefused(f"{host} answered HTTP {answer.status}", remedy="Check the token URL.")


def _refusal(body: Mapping[str, Any], answer: Answer) -> SalesforceError:
    error = str(body.get("error"))
    description = str(body.get("error_description") or "")
    words = f"{error} {description}".casefold()
    if any(phrase in words for phrase in _PASSING):
        return LoginUnavailable(f"{error}: {description}", retry_after=answer.retry_after())
    remedy = next((remedy for phrase, remedy in _REMEDIES if phrase in words), "")
    return LoginRefused(error, description, remedy=remedy)


def _header_safe(access_token: Any, host: str) -> str:
    """The token, if it can stand in a header: ``requests`` would quote it in its complaint."""
    if isinstance(access_token, str) and access_token:
        if access_token.isascii() and access_token.isprintable() and " " not in access_token:
            return access_token
        raise LoginRefused(f"{host} gave an access_token that can't be sent in a header")
    raise LoginRefused(f"{host} gave no access_token")


def _identity(identity: Any) -> tuple[str | None, str | None]:
    """(org id, user id) of ``{login}/id/{orgId}/{userId}``."""
    try:
        path = urlsplit(identity).path if isinstance(identity, str) else ""
    except ValueError:
        path = ""
    match path.strip("/").split("/"):
        case [*_, "id", org_id, user_id]:
            return org_id, user_id
        case _:
            return None, None


def _milliseconds(text: Any) -> int | None:
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
