"""SOAP login with user name and password, which API versions from 65.0 no longer have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import requests

from listeners.salesforce.errors import (
    LoginRefused,
    LoginUnavailable,
    SalesforceError,
    refused_by_proxy,
)
from listeners.salesforce.http.addresses import host_of, is_web_url
from listeners.salesforce.http.request import (
    Answer,
    NoAuth,
    Timeout,
    login_exchange,
)
from listeners.salesforce.tokens.tokens import Grant, LoginResult, Token, header_safe, lifetime_of

LAST_SOAP_VERSION = "64.0"

_ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">
  <soapenv:Body>
    <login xmlns="urn:partner.soap.sforce.com">
      <username>{username}</username>
      <password>{password}</password>
    </login>
  </soapenv:Body>
</soapenv:Envelope>"""
_HEADERS = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": "login"}
# Fault codes of temporary failures, after which a retry may succeed.
_TEMPORARY = ("SERVER_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "LOGIN_RATE_EXCEEDED")
_REMEDY = "Check the user name, and the password with its security token right after it."


def login_version(api_version: str) -> str:
    """Return the API version for the login: ``api_version``, or the last with SOAP login."""
    return api_version if float(api_version) <= float(LAST_SOAP_VERSION) else LAST_SOAP_VERSION


@dataclass(frozen=True, slots=True)
class Soap(Grant):
    """The grant. ``password`` is the password directly followed by the security token."""

    login_url: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    api_version: str = LAST_SOAP_VERSION
    timeout: Timeout = (10.0, 30.0)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def login(self, http: requests.Session) -> LoginResult:
        if not is_web_url(self.login_url):
            remedy = "Correct the login URL."
            raise LoginRefused("the login URL is not an http(s) URL", remedy=remedy)
        body = _ENVELOPE.format(username=escape(self.username), password=escape(self.password))
        answer = login_exchange(
            http,
            "POST",
            f"{self.login_url}/services/Soap/u/{login_version(self.api_version)}",
            auth=NoAuth(),
            timeout=self.timeout,
            data=body.encode(),
            headers={**self.headers, **_HEADERS},
        )
        if answer.status != 200:
            answer = answer.hiding(self.password, *self.headers.values())
        return LoginResult(_token(answer, host_of(self.login_url)))


def _token(answer: Answer, host: str) -> Token:
    root = _parsed(answer)
    if root is None:
        raise _unreadable(answer, host)
    fault = _text(root, "faultcode")
    if fault is not None:
        raise _refusal(fault.rpartition(":")[2], _text(root, "faultstring") or "", answer)
    session_id = _text(root, "sessionId")
    instance_url = _origin(_text(root, "serverUrl") or "")
    if not session_id or not is_web_url(instance_url):
        if answer.status != 200:
            raise _unreadable(answer, host)
        why = f"{host} returned no session ID or no server URL"
        raise LoginRefused(why, remedy="Check the login URL.")
    return Token(
        access_token=header_safe(session_id, host),
        instance_url=instance_url,
        org_id=_text(root, "organizationId"),
        user_id=_text(root, "userId"),
        expires_in=lifetime_of(_text(root, "sessionSecondsValid")),
    )


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def _parsed(answer: Answer) -> ElementTree.Element | None:
    if b"<!DOCTYPE" in answer.body or b"<!ENTITY" in answer.body:
        return None
    try:
        return ElementTree.fromstring(answer.body)
    except (ElementTree.ParseError, LookupError, ValueError):  # including encoding errors
        return None


def _text(root: ElementTree.Element, name: str) -> str | None:
    """Return the text of the first element with that local name, in any namespace."""
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.rpartition("}")[2] == name:
            return element.text or ""
    return None


def _refusal(code: str, words: str, answer: Answer) -> SalesforceError:
    if code in _TEMPORARY or "login rate exceeded" in words.casefold():
        return LoginUnavailable(f"{code}: {words}", retry_after=answer.retry_after())
    words = words.removeprefix(f"{code}: ")
    remedy = _REMEDY if code == "INVALID_LOGIN" else "Check the user and its permissions."
    return LoginRefused(code, words, remedy=remedy)


def _unreadable(answer: Answer, host: str) -> SalesforceError:
    if answer.status == 407:
        return refused_by_proxy(host)
    if answer.status == 200 or answer.is_unavailable:
        why = f"{host} answered HTTP {answer.status}, but not with a SOAP response"
        return LoginUnavailable(why, retry_after=answer.retry_after())
    remedy = "Check the login URL."
    return LoginRefused(f"{host} answered HTTP {answer.status}", remedy=remedy)
