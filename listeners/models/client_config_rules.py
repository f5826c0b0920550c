"""Validation of a connection's JSON settings: scopes, parameters and the HTTP client.

`problem_of` applies one of the checks `scopes`, `params`, `client` and `refresh` to a setting. The
`path` of a check is the place of the value in the setting; empty for the setting itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from django.core.exceptions import ValidationError

from listeners.egress import url_flaw
from listeners.secrets import reference_rules
from listeners.secrets.encrypted_field import REFERENCES
from listeners.values import address

HTTP_VERSIONS = ("1.0", "1.1", "2")
CLIENT_KEYS = (
    "http_version",
    "custom_headers",
    "custom_payload",
    "connection_timeout",
    "read_timeout",
    "tls",
)
TLS_KEYS = ("ca_bundle", "client_certificate", "client_key", "verify")
REFRESH_KEYS = ("refresh_url", "scopes", "optional_params", "credential_bearer", "client_config")
LONGEST_SECONDS = 3600
BEARERS = ("auth_header", "post_body")

#: Parameters that the login sets itself; an optional parameter must not override them.
_RESERVED = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "username",
        "password",
        "refresh_token",
        "assertion",
        "scope",
    }
)
_SENSITIVE = re.compile(r"auth|cookie|secret|token|passw|key|credential", re.IGNORECASE)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3


class _Problem(Exception):
    """A setting is invalid; the message says how to correct it."""


def problem_of(check: Callable[[Any, str], None], value: Any) -> str:
    """Return why the check refuses the value; empty when it is valid."""
    try:
        check(value, "")
    except _Problem as problem:
        return str(problem)
    return ""


def _refuse(path: str, text: str) -> None:
    raise _Problem(f"{path}: {text}" if path else text[:1].upper() + text[1:])


def scopes(value: Any, path: str) -> None:
    if not isinstance(value, list):
        _refuse(path, 'enter a list of scopes, such as ["api", "refresh_token"].')
    for scope in value:
        if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
            _refuse(path, f"{scope!r} is not a scope: each scope is a single word.")


def params(value: Any, path: str) -> None:
    for name, text in _texts(value, path).items():
        if name in _RESERVED:
            _refuse(path, f"the login sets the parameter {name} itself; remove it.")
        _refuse_plain_secret(name, text, path)
        _refuse_reference(text, path)


def client(value: Any, path: str) -> None:
    _keys(value, path, CLIENT_KEYS)
    version = value.get("http_version", "1.1")
    if http_version(version) not in HTTP_VERSIONS:
        _refuse(_at(path, "http_version"), f"use one of {', '.join(HTTP_VERSIONS)}.")
    _headers(value.get("custom_headers", {}), _at(path, "custom_headers"))
    _payload(value.get("custom_payload", ""), _at(path, "custom_payload"))
    for name in ("connection_timeout", "read_timeout"):
        seconds = value.get(name, 1)
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds <= LONGEST_SECONDS:
            _refuse(_at(path, name), f"enter a number of seconds, up to {LONGEST_SECONDS}.")
    _tls(value.get("tls", {}), _at(path, "tls"))


def http_version(value: Any) -> str:
    """Return the HTTP version as a text, from a text or a number; `2.0` becomes `2`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    text = str(value)
    return "2" if text == "2.0" else text


def _headers(value: Any, path: str) -> None:
    for name, text in _texts(value, path).items():
        if not _HEADER.fullmatch(name):
            _refuse(path, f"{name!r} is not a valid header name.")
        if not text.isprintable() or not text.isascii():
            _refuse(path, f"the value of {name} has characters that a header cannot contain.")
        if name.casefold() in ("host", "content-length", "content-type", "transfer-encoding"):
            _refuse(path, f"the request sets {name} itself; remove it.")
        _refuse_plain_secret(name, text, path)
        _refuse_reference(text, path)


def _payload(value: Any, path: str) -> None:
    if not isinstance(value, str):
        _refuse(path, "enter a text such as name=value&other=value.")
    try:
        pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=True) if value else []
    except ValueError:
        pairs = []
        _refuse(path, "enter a text such as name=value&other=value.")
    for name, text in pairs:  # a name may occur twice
        params({name: text}, path)


def _tls(value: Any, path: str) -> None:
    _keys(value, path, TLS_KEYS)
    if not isinstance(value.get("verify", True), bool):
        _refuse(_at(path, "verify"), "use true or false.")
    for name in TLS_KEYS[:-1]:
        if not isinstance(value.get(name, ""), str):
            _refuse(_at(path, name), "enter the path of a PEM file.")
    if value.get("client_key") and not value.get("client_certificate"):
        _refuse(_at(path, "client_certificate"), "a client_key needs its certificate.")
    if value.get("ca_bundle") and value.get("verify") is False:
        _refuse(_at(path, "ca_bundle"), "has no effect while verify is false; use one of the two.")


def refresh(value: Any, path: str) -> None:
    if value is None:
        return
    _keys(value, path, REFRESH_KEYS)
    if "refresh_url" in value:
        url = value["refresh_url"]
        try:
            address(url if isinstance(url, str) else "")
        except ValidationError as error:
            _refuse(_at(path, "refresh_url"), error.messages[0])
        if refused := url_flaw(url):
            _refuse(_at(path, "refresh_url"), refused)
    if value.get("credential_bearer", BEARERS[0]) not in BEARERS:
        _refuse(_at(path, "credential_bearer"), f"use one of {', '.join(BEARERS)}.")
    scopes(value.get("scopes", []), _at(path, "scopes"))
    params(value.get("optional_params", {}), _at(path, "optional_params"))
    config = value.get("client_config", {})
    client(config, _at(path, "client_config"))
    if "tls" in config:
        _refuse(
            _at(path, "client_config.tls"),
            "TLS settings apply to the whole connection: set them in its client_config.",
        )


def _keys(value: Any, path: str, known: tuple[str, ...]) -> None:
    if not isinstance(value, Mapping):
        _refuse(path, f"enter an object with any of {', '.join(known)}.")
    for name in value:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use any of {', '.join(known)}."
            _refuse(path, f"unknown key {name!r}; {hint}")


def _texts(value: Any, path: str) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        _refuse(path, 'enter an object of names and texts, such as {"name": "text"}.')
    for name, text in value.items():
        if not name or not isinstance(text, str):
            _refuse(path, f"the value of {name!r} must be a text.")
    texts: Mapping[str, str] = value
    return texts


def _refuse_plain_secret(name: str, text: str, path: str) -> None:
    """Refuse a value that may be a secret: the console shows these settings in plain text."""
    if _SENSITIVE.search(name) and not text.startswith(REFERENCES):
        _refuse(
            path, f"the value of {name} may be a secret: use a reference, env:NAME or file:PATH."
        )


def _refuse_reference(text: str, path: str) -> None:
    if refused := reference_rules.flaw(text):
        _refuse(path, f"{refused}.")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
