"""What each kind of login needs and heeds, and what a connection's settings may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Model

from listeners.egress import destinations, url_flaw
from listeners.models import client_config_rules
from listeners.models.connection_fields import ConnectionFields
from listeners.secrets import reference_rules
from listeners.secrets.encrypted_field import REFERENCES, Secret, SecretUnavailable
from listeners.secrets.private_keys import private_key_problem
from listeners.secrets.reference_rules import sentence
from listeners.values import is_host, is_storable_text

_OAUTH = (
    "scopes",
    "default_token_exp_time",
    "clock_skew",
    "optional_params",
    "credential_bearer",
    "client_config",
    "token_store",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """The fields that a kind of login cannot do without, and the others that it heeds."""

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def heeded(self) -> frozenset[str]:
        return frozenset(self.required + self.optional)


KINDS: dict[str, Kind] = {
    "soap": Kind(
        ("username", "password"), ("login_url", "is_sandbox", "client_config", "token_store")
    ),
    "bearer_token": Kind(("base_url", "token"), ("client_config",)),
    "password": Kind(
        ("base_url", "username", "password"),
        ("token_url", "client_id", "client_secret", "refresh_config", *_OAUTH),
    ),
    "refresh_token": Kind(
        ("base_url", "refresh_token", "client_id", "client_secret"), ("refresh_url", *_OAUTH)
    ),
    "client_credentials": Kind(("base_url", "client_id", "client_secret"), ("token_url", *_OAUTH)),
    "jwt_bearer": Kind(
        ("base_url", "client_id", "username", "private_key"),
        ("token_url", "client_secret", "audience", "is_sandbox", *_OAUTH),
    ),
}
#: Parts of client_config that a kind has no use for.
_UNHEEDED_OF_CLIENT: dict[str, set[str]] = {
    "bearer_token": set(client_config_rules.CLIENT_KEYS) - {"tls"},
    "soap": {"custom_payload"},
}
#: What requests are sent to.
URLS = ("base_url", "login_url", "token_url", "refresh_url")
_SHOWN = frozenset({"scopes", "optional_params", "client_config", "refresh_config"})
#: Fields that belong to some kinds only; all others belong to every connection.
OF_A_KIND = frozenset().union(*(kind.heeded for kind in KINDS.values()))

SOAP_RETIRES = (
    "Salesforce retires SOAP login: it is absent from API version 65.0 on, so the login alone uses "
    "64.0 at most. Choose client_credentials or jwt_bearer before it ends."
)


def problems(connection: ConnectionFields) -> dict[str, str]:
    """What is wrong, by field; empty when all is well."""
    kind = KINDS.get(connection.auth)
    if kind is None:  # the field's own validation says so
        return {}
    missing = {
        name: f"{connection.get_auth_display()} needs it."
        for name in kind.required
        if not getattr(connection, name)
    }
    return {
        **_settings(connection, kind),
        **_address_problems(connection, kind),
        **_references(connection),
        **missing,
    }


def warnings(connection: ConnectionFields, *, alone: bool = False) -> list[tuple[str, str]]:
    """What an operator should know about settings that are valid: (field, text).

    `alone`: without a look at the other connections.
    """
    kind = KINDS.get(connection.auth)
    if kind is None:
        return []
    found = [
        (name, f"{name} does nothing with {connection.auth}")
        for name in sorted(OF_A_KIND - kind.heeded)
        if getattr(connection, name) != default_of(connection, name)
        and not (isinstance(getattr(connection, name), Secret) and not getattr(connection, name))
    ]
    found += [
        ("client_config", f"{name} does nothing with {connection.auth}")
        for name in sorted(_UNHEEDED_OF_CLIENT.get(connection.auth, set()))
        if name in connection.client_config
    ]
    if connection.auth == "soap":
        found.append(("auth", SOAP_RETIRES))
    if connection.auth == "refresh_token":
        found += [("refresh_token", text) for text in _refresh_token_warnings(connection, alone)]
    return found


def default_of(row: Model | type[Model], name: str) -> Any:
    field: Any = row._meta.get_field(name)
    return field.get_default()


def _settings(connection: ConnectionFields, kind: Kind) -> dict[str, str]:
    found = {
        "scopes": client_config_rules.scopes_problem(connection.scopes),
        "optional_params": client_config_rules.params_problem(connection.optional_params),
        "client_config": client_config_rules.client_problem(connection.client_config),
        "refresh_config": client_config_rules.refresh_problem(connection.refresh_config),
        "private_key": private_key_problem(connection.private_key),
        "token_store": _store_problem(connection),
        "clock_skew": _skew_problem(connection),
        "token": _token_problem(connection.token),
    }
    # What is JSON is shown, heeded or not: no plain secret may lie in it.
    mine = {
        name: text
        for name, text in found.items()
        if text and (name in kind.heeded or name in _SHOWN)
    }
    return {**mine, **_proxy_problems(connection)}


def _store_problem(connection: ConnectionFields) -> str:
    if connection.token_store == "redis" and not settings.REDIS_URL:
        return "Set REDIS_URL: the broker is no Redis that could keep tokens."
    return ""


def _skew_problem(connection: ConnectionFields) -> str:
    if connection.clock_skew and connection.clock_skew >= connection.default_token_exp_time:
        return "It must be shorter than a token's lifetime (default_token_exp_time)."
    return ""


def _token_problem(token: Secret) -> str:
    """What can stand in a header; a reference is read when it is used."""
    if token.reference:
        return ""
    try:
        text = token.reveal()
    except SecretUnavailable as unavailable:
        return f"It cannot be checked: {unavailable}."
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    return "Give the token alone: no blanks, no line breaks, no word such as Bearer before it."


def _proxy_problems(connection: ConnectionFields) -> dict[str, str]:
    found: dict[str, str] = {}
    host = connection.proxy_host
    if not host:
        for name in ("proxy_port", "proxy_username", "proxy_password"):
            if getattr(connection, name):
                part = name.removeprefix("proxy_")
                found["proxy_host"] = f"The {part} is set: name the proxy's host."
        return found
    if not is_host(host):
        found["proxy_host"] = "Give the host alone, without scheme, user or port."
    elif text := destinations().host_flaw(host):
        found["proxy_host"] = text
    if not connection.proxy_port:
        found["proxy_port"] = "Give the proxy's port."
    if connection.proxy_password and not connection.proxy_username:
        found["proxy_username"] = "A password needs a user name."
    return found


def _references(connection: ConnectionFields) -> dict[str, str]:
    told = {name: getattr(connection, name).reference for name in connection.SECRETS}
    refused = {name: reference_rules.flaw(reference) for name, reference in told.items()}
    return {name: sentence(text) for name, text in refused.items() if text} | {
        name: "Name the variable or the file: env:NAME or file:PATH."
        for name, reference in told.items()
        if reference in REFERENCES or not is_storable_text(reference)
    }


def _address_problems(connection: ConnectionFields, kind: Kind) -> dict[str, str]:
    """Of what is asked: an address that is left from another kind of login is not."""
    found = {name: url_flaw(getattr(connection, name)) for name in URLS if name in kind.heeded}
    return {name: text for name, text in found.items() if text}


def _refresh_token_warnings(connection: ConnectionFields, alone: bool) -> list[str]:
    found = [
        f"connection {other.name} has the same refresh token: where Salesforce rotates it, "
        "each use by one revokes the other's; use one connection for several listeners"
        for other in ([] if alone else twins(connection))
    ]
    return [_FORGETFUL, *found] if connection.token_store == "memory" else found


def twins(connection: ConnectionFields) -> list[ConnectionFields]:
    """Other connections with the same refresh token."""
    rows = type(connection)._default_manager.filter(auth="refresh_token").exclude(pk=connection.pk)
    return [one for one in rows if _same_token(connection.refresh_token, one.refresh_token)]


_FORGETFUL = (
    "a refresh token that Salesforce rotates does not outlive the process in the memory; use the "
    "token store database or redis"
)


def _same_token(one: Secret, other: Secret) -> bool:
    try:
        return bool(one) and one.reveal() == other.reveal()
    except SecretUnavailable:
        return one.same_as(other)
