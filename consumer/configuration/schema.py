"""The keys that a file may have. Each is a field of the model, with the parser of its value.

An unknown key is refused, because a setting without effect is a defect. To support another key, add
the model's field and one line below. An omitted key takes the field's default.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consumer.configuration.value_parsers import (
    Parser,
    api_version,
    boolean,
    choice,
    json_object,
    names,
    names_like,
    number,
    object_like,
    text,
    whole_number,
)
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener

Keys = Mapping[str, Parser]

FILE = ("connections", "listeners")

CONNECTION: Keys = {
    "name": text,
    "auth": choice(Connection.Auth),
    "base_url": text,
    "token_url": text,
    "refresh_url": text,
    "client_id": text,
    "client_secret": text,
    "username": text,
    "password": text,
    "refresh_token": text,
    "token": text,
    "private_key": text,
    "login_url": text,
    "is_sandbox": boolean,
    "audience": text,
    "scopes": names,
    "default_token_exp_time": number,
    "clock_skew": number,
    "optional_params": json_object,
    "credential_bearer": choice(Connection.CredentialBearer),
    "client_config": json_object,
    "refresh_config": json_object,
    "token_store": choice(Connection.TokenStore),
    "proxy_scheme": choice(Connection.ProxyScheme),
    "proxy_host": text,
    "proxy_port": whole_number,
    "proxy_username": text,
    "proxy_password": text,
}


@dataclass(frozen=True, slots=True)
class Nested:
    """A key with a mapping as its value, each part of which is a separate field."""

    prefix: str
    parts: tuple[str, ...]


NESTED = {
    "proxy_config": Nested("proxy_", ("scheme", "host", "port", "username", "password")),
}
#: The fields that are parts of a nested mapping: their name in the file, and the mapping's key.
NAMES_IN_FILE = {
    nested.prefix + part: (f"{key}.{part}", key)
    for key, nested in NESTED.items()
    for part in nested.parts
}


def written(field: str) -> str:
    """Return the key of the field as written in the file."""
    return NAMES_IN_FILE[field][0] if field in NAMES_IN_FILE else field


LISTENER: Keys = {
    "name": text,
    "channel": text,
    "transport": choice(Listener.Transport),
    "pubsub_endpoint": text,
    "managed_subscription": text,
    "replay_from": text,
    "on_replay_lost": choice(Listener.ReplayLost),
    "gap_policy": choice(Listener.GapPolicy),
    "sensitive_fields": names,
    "enabled": boolean,
    "api_version": api_version,
    "connection_timeout": number,
    "read_timeout": number,
    "keep_alive_interval": number,
    "session_timeout": number,
}
#: Keys of a listener that are read separately: a reference and a list.
CONNECTION_KEY, HANDLERS = "connection", "handlers"

HANDLER: Keys = {
    "name": text,
    "on": choice(HandlerMapping.On),
    "entity": text,
    "handler": text,
    "task": text,
    "changed_fields": names,
    "condition": object_like("{field: Phone, exists: true}"),
    "ignore_origins": names_like("[my-app]"),
    "ignore_users": names_like("[005000000000001AAA]"),
    "ordering": choice(HandlerMapping.Ordering),
    "queue": text,
    "max_attempts": whole_number,
    "on_dead": choice(HandlerMapping.OnDead),
    "options": json_object,
}
