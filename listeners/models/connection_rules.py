"""Validation of a connection: the fields that each kind of login requires and uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Model

from listeners.egress import destinations, url_flaw
from listeners.models import client_config_rules
from listeners.models.client_config_rules import problem_of
from listeners.models.connection_fields import ConnectionFields
from listeners.secrets import reference_rules
from listeners.secrets.encrypted_field import REFERENCES, Secret, SecretUnavailable
from listeners.secrets.private_keys import private_key_problem
from listeners.secrets.reference_rules import sentence
from listeners.values import is_host, is_storable_text

_OAUTH_FIELDS = (
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
    """The required and the optional fields of a kind of login."""

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def used_fields(self) -> frozenset[str]:
        return frozenset(self.required + self.optional)

    @property
    def is_oauth(self) -> bool:
        return set(_OAUTH_FIELDS) <= self.used_fields


KINDS: dict[str, Kind] = {
    "soap": Kind(
        ("username", "password"), ("login_url", "is_sandbox", "client_config", "token_store")
    ),
    "bearer_token": Kind(("base_url", "token"), ("client_config",)),
    "password": Kind(
        ("base_url", "username", "password"),
        ("token_url", "client_id", "client_secret", "refresh_config", *_OAUTH_FIELDS),
    ),
    "refresh_token": Kind(
        ("base_url", "refresh_token", "client_id", "client_secret"), ("refresh_url", *_OAUTH_FIELDS)
    ),
    "client_credentials": Kind(
        ("base_url", "client_id", "client_secret"), ("token_url", *_OAUTH_FIELDS)
    ),
    "jwt_bearer": Kind(
        ("base_url", "client_id", "username", "private_key"),
        ("token_url", "client_secret", "audience", "is_sandbox", *_OAUTH_FIELDS),
    ),
}
#: Keys of client_config that a kind of login does not use.
_UNUSED_CLIENT_KEYS: dict[str, set[str]] = {
    "bearer_token": set(client_config_rules.CLIENT_KEYS) - {"tls"},
    "soap": {"custom_payload"},
}
#: Fields that hold a URL to which requests go.
URLS = ("base_url", "login_url", "token_url", "refresh_url")
_JSON_FIELDS = frozenset({"scopes", "optional_params", "client_config", "refresh_config"})
#: Fields that only some kinds of login use; all other fields apply to every connection.
FIELDS_OF_SOME_KINDS = frozenset().union(*(kind.used_fields for kind in KINDS.values()))

SOAP_RETIRES = (
    "Salesforce is retiring SOAP login: API versions from 65.0 do not have it, so the login uses "
    "version 64.0 at most. Switch to client_credentials or jwt_bearer before it ends."
)
_MEMORY_STORE_WARNING = (
    "with token_store memory, a refresh token that Salesforce rotates is lost when the process "
    "ends; use the token store database or redis"
)


def problems(connection: ConnectionFields) -> dict[str, str]:
    """Return the validation errors by field; empty if the connection is valid."""
    kind = KINDS.get(connection.auth)
    if kind is None:  # the field's own validation says so
        return {}
    missing = {
        name: f"{connection.get_auth_display()} requires this field."
        for name in kind.required
        if not getattr(connection, name)
    }
    return {
        **_value_problems(connection, kind),
        **_address_problems(connection, kind),
        **_reference_problems(connection),
        **missing,
    }


def warnings(connection: ConnectionFields, *, alone: bool = False) -> list[tuple[str, str]]:
    """Return warnings about valid settings, as (field, text).

    `alone`: do not compare with other connections.
    """
    kind = KINDS.get(connection.auth)
    if kind is None:
        return []
    found = [
        (name, f"{name} does nothing with {connection.auth}")
        for name in sorted(FIELDS_OF_SOME_KINDS - kind.used_fields)
        if getattr(connection, name) != default_of(connection, name)
        and not (isinstance(getattr(connection, name), Secret) and not getattr(connection, name))
    ]
    found += [
        ("client_config", f"{name} does nothing with {connection.auth}")
        for name in sorted(_UNUSED_CLIENT_KEYS.get(connection.auth, set()))
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


def _value_problems(connection: ConnectionFields, kind: Kind) -> dict[str, str]:
    found = {
        "scopes": problem_of(client_config_rules.scopes, connection.scopes),
        "optional_params": problem_of(client_config_rules.params, connection.optional_params),
        "client_config": problem_of(client_config_rules.client, connection.client_config),
        "refresh_config": problem_of(client_config_rules.refresh, connection.refresh_config),
        "private_key": private_key_problem(connection.private_key),
        "token_store": _store_problem(connection),
        "clock_skew": _skew_problem(connection),
        "token": _token_problem(connection.token),
    }
    # The console shows JSON settings even if they are unused: they must not hold plain secrets.
    relevant = {
        name: text
        for name, text in found.items()
        if text and (name in kind.used_fields or name in _JSON_FIELDS)
    }
    return {**relevant, **_proxy_problems(connection)}


def _store_problem(connection: ConnectionFields) -> str:
    if connection.token_store == "redis" and not settings.REDIS_URL:
        return "Set REDIS_URL to store tokens in Redis: the broker is not a Redis server."
    return ""


def _skew_problem(connection: ConnectionFields) -> str:
    if connection.clock_skew and connection.clock_skew >= connection.default_token_exp_time:
        return "The clock skew must be shorter than a token's lifetime (default_token_exp_time)."
    return ""


def _token_problem(token: Secret) -> str:
    """Return why the token cannot be sent in a header; a reference is read only when used."""
    if token.reference:
        return ""
    try:
        text = token.reveal()
    except SecretUnavailable as unavailable:
        return f"The token cannot be checked: {unavailable}."
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    return "Enter only the token, without spaces, line breaks or a prefix such as Bearer."


def _proxy_problems(connection: ConnectionFields) -> dict[str, str]:
    found: dict[str, str] = {}
    host = connection.proxy_host
    if not host:
        for name in ("proxy_port", "proxy_username", "proxy_password"):
            if getattr(connection, name):
                part = name.removeprefix("proxy_")
                found["proxy_host"] = f"The proxy's {part} is set: enter its host."
        return found
    if not is_host(host):
        found["proxy_host"] = "Enter only the host, without scheme, user or port."
    elif text := destinations().host_flaw(host):
        found["proxy_host"] = text
    if not connection.proxy_port:
        found["proxy_port"] = "Enter the proxy's port."
    if connection.proxy_password and not connection.proxy_username:
        found["proxy_username"] = "A proxy password requires a user name."
    return found


def _reference_problems(connection: ConnectionFields) -> dict[str, str]:
    references = {name: getattr(connection, name).reference for name in connection.SECRETS}
    refused = {name: reference_rules.flaw(reference) for name, reference in references.items()}
    return {name: sentence(text) for name, text in refused.items() if text} | {
        name: "Add the name of the variable or file: env:NAME or file:PATH."
        for name, reference in references.items()
        if reference in REFERENCES or not is_storable_text(reference)
    }


def _address_problems(connection: ConnectionFields, kind: Kind) -> dict[str, str]:
    found = {name: url_flaw(getattr(connection, name)) for name in URLS if name in kind.used_fields}
    return {name: text for name, text in found.items() if text}


def _refresh_token_warnings(connection: ConnectionFields, alone: bool) -> list[str]:
    found = [
        f"connection {other.name} has the same refresh token: if Salesforce rotates it, each use "
        "by one connection revokes the other's; use one connection for several listeners"
        for other in ([] if alone else sharing_the_refresh_token(connection))
    ]
    return [_MEMORY_STORE_WARNING, *found] if connection.token_store == "memory" else found


def sharing_the_refresh_token(connection: ConnectionFields) -> list[ConnectionFields]:
    """Return the other connections with the same refresh token."""
    rows = type(connection)._default_manager.filter(auth="refresh_token").exclude(pk=connection.pk)
    return [row for row in rows if _same_token(connection.refresh_token, row.refresh_token)]


def _same_token(token: Secret, other: Secret) -> bool:
    try:
        return bool(token) and token.reveal() == other.reveal()
    except SecretUnavailable:
        return token.same_as(other)
