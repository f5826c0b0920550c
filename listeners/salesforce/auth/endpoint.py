"""Requests to the OAuth token endpoint, ``POST {login}/services/oauth2/token``."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from requests.auth import AuthBase

from listeners.salesforce.errors import (
    AUTHORIZE_AGAIN,
    LoginRefused,
    LoginUnavailable,
    SalesforceError,
    refused_by_proxy,
)
from listeners.salesforce.http.addresses import host_of, is_web_url
from listeners.salesforce.http.request import (
    Answer,
    Timeout,
    login_exchange,
)
from listeners.salesforce.tokens.tokens import Grant, LoginResult, Token, header_safe, lifetime_of

DEFAULT_TIMEOUT: Timeout = (10.0, 30.0)

# Phrases in error or error_description of temporary failures, after which a retry may succeed.
_TEMPORARY = (
    "token request is already being processed",
    "login rate exceeded",
    "retry your request",
    "server_error",
    "temporarily_unavailable",
)
# Phrases in an invalid_grant whose cause is not the refresh token.
_NOT_THE_TOKEN = (
    "request not supported on this domain",
    "ip restricted",
    "inactive user",
    "inactive organization",
    "user is locked",
    "is not approved",
    "hasn't approved",
)
# Phrases in error or error_description, with what the operator should do. The first phrase that
# occurs counts, so a longer one comes before those that it contains.
_REMEDIES = (
    ("authentication failure", "Check the user name, and the password with its security token."),
    ("expired access/refresh token", AUTHORIZE_AGAIN),
    ("request not supported on this domain", "Use the org's own domain in the token URL."),
    ("no client credentials user enabled", "Name a run-as user in the app's settings."),
    ("invalid_client_id", "Check the client ID; a new app takes a few minutes to work."),
    ("client identifier invalid", "Check the client ID; a new app takes a few minutes to work."),
    ("invalid_client", "Check the client secret."),
    ("invalid assertion", "Check the private key, the client ID, the user name and the clock."),
    ("audience is invalid", "Set the audience to the login URL that the org expects."),
    ("hasn't approved", "Pre-authorize the user for the connected app."),
    ("invalid_scope", "Request only scopes that the connected app allows."),
    ("unsupported_grant_type", "Allow this OAuth flow in the org and in the app's settings."),
)


class CredentialBearer(StrEnum):
    """How the client id and secret are sent."""

    AUTH_HEADER = "auth_header"
    POST_BODY = "post_body"


class _ClientAuth(AuthBase):
    """Sends the client id and secret by HTTP Basic; without a client, sends nothing.

    Set on every request, because ``requests`` would otherwise send an entry of .netrc.
    """

    def __init__(self, client: tuple[str, str] | None) -> None:
        self._client = client

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._client is not None:
            pair = base64.b64encode(":".join(self._client).encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return request


@dataclass(frozen=True, slots=True)
class OAuthOptions:
    """Options of every OAuth grant.

    ``params`` and ``payload`` (already form-encoded) are added to the form, ``headers`` to the
    request. ``instance_url`` is used if the answer has none.
    """

    bearer: CredentialBearer = CredentialBearer.POST_BODY
    scopes: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    payload: str = field(default="", repr=False)
    timeout: Timeout = DEFAULT_TIMEOUT
    instance_url: str = ""


@dataclass(frozen=True, slots=True)
class OAuthGrant(Grant):
    """A grant of the token endpoint. Subclasses post their form with ``request``."""

    token_url: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)
    options: OAuthOptions = field(default=OAuthOptions(), kw_only=True)

    @property
    def has_client(self) -> bool:
        """Whether the client id and secret are sent."""
        return bool(self.client_id)

    def request(self, http: requests.Session, form: Mapping[str, str]) -> LoginResult:
        """Post the form, and return the answer's tokens.

        Raises ``LoginRefused`` with Salesforce's error text, or ``LoginUnavailable``.
        """
        if not is_web_url(self.token_url):
            remedy = "Correct the token URL."
            raise LoginRefused("the token URL is not an http(s) URL", remedy=remedy)
        options = self.options
        client = (self.client_id, self.client_secret) if self.has_client else None
        in_header = options.bearer == CredentialBearer.AUTH_HEADER
        body = {**form, **({} if in_header else _in_body(client)), **options.params}
        if options.scopes:
            body["scope"] = " ".join(options.scopes)
        answer = login_exchange(
            http,
            "POST",
            self.token_url,
            auth=_ClientAuth(client if in_header else None),
            timeout=options.timeout,
            data="&".join(filter(None, (urlencode(body), options.payload))).encode(),
            headers={**options.headers, "Accept": "application/json", "Content-Type": _FORM},
        )
        basic = ":".join(client) if client else ""
        sent = (*_secrets(form, client), *options.params.values(), *options.headers.values(), basic)
        host = host_of(self.token_url)
        return _result(answer, answer.hiding(*sent), host, options.instance_url)


_FORM = "application/x-www-form-urlencoded"
# Form fields that an error message may quote; every other one is masked.
_FIELDS_SHOWN_IN_ERRORS = ("grant_type", "username")


def _in_body(client: tuple[str, str] | None) -> dict[str, str]:
    """Return the form fields of the client: its id, and its secret if it has one."""
    pairs = zip(("client_id", "client_secret"), client or (), strict=False)
    return {name: value for name, value in pairs if value}


def _secrets(form: Mapping[str, str], client: tuple[str, str] | None) -> Iterator[str]:
    yield from (value for name, value in form.items() if name not in _FIELDS_SHOWN_IN_ERRORS)
    if client:
        yield client[1]


def _result(answer: Answer, masked: Answer, host: str, fallback: str) -> LoginResult:
    """Return the answer's tokens; errors quote ``masked``, the answer without the sent secrets."""
    if answer.status != 200:
        raise _failure(masked, host)
    body = answer.json_or_none()
    if not isinstance(body, dict):
        why = f"{host} answered HTTP 200, but not with a token response"
        raise LoginUnavailable(why, may_have_worked=True)
    if "access_token" not in body and "error" in body:
        raise _failure(replace(masked, status=400), host)
    instance_url = str(body.get("instance_url") or fallback).rstrip("/")
    if not is_web_url(instance_url):
        raise LoginRefused(f"{host} returned no usable instance_url", may_have_worked=True)
    refresh_token = body.get("refresh_token")
    org_id, user_id = _identity(body.get("id"))
    token = Token(
        access_token=header_safe(body.get("access_token"), host),
        instance_url=instance_url,
        org_id=org_id,
        user_id=user_id,
        issued_at=_milliseconds(body.get("issued_at")),
        scope=_text_or_none(body.get("scope")),
        expires_in=lifetime_of(body.get("expires_in")),  # only for a JWT-based access token
    )
    return LoginResult(token, _text_or_none(refresh_token))


def _failure(answer: Answer, host: str) -> SalesforceError:
    if answer.status == 407:
        return refused_by_proxy(host)
    if answer.is_unavailable:
        why = f"{host} answered HTTP {answer.status}"
        return LoginUnavailable(
            why, retry_after=answer.retry_after(), may_have_worked=answer.status != 429
        )
    if 300 <= answer.status < 400:
        target = host_of(answer.headers.get("Location", ""))
        return LoginRefused(f"{host} redirects to {target}", remedy="Correct the token URL.")
    body = answer.json_or_none()
    if isinstance(body, dict) and body.get("error"):
        return _refusal(body, answer)
    return LoginRefused(f"{host} answered HTTP {answer.status}", remedy="Check the token URL.")


def _refusal(body: Mapping[str, Any], answer: Answer) -> SalesforceError:
    error = str(body.get("error"))
    description = str(body.get("error_description") or "")
    words = f"{error} {description}".casefold()
    if any(phrase in words for phrase in _TEMPORARY):
        return LoginUnavailable(f"{error}: {description}", retry_after=answer.retry_after())
    remedy = next((remedy for phrase, remedy in _REMEDIES if phrase in words), "")
    return LoginRefused(
        error,
        description,
        remedy=remedy,
        ends_refresh_token=error == "invalid_grant"
        and not any(phrase in words for phrase in _NOT_THE_TOKEN),
    )


def _identity(identity: Any) -> tuple[str | None, str | None]:
    """Return (org id, user id) from the identity URL ``{login}/id/{orgId}/{userId}``."""
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
