"""The keys that a file may have: each is a field of the model, and how its value is read.

A key that is not here is refused, since a setting that does nothing is a defect. To support
another one, add the model's field and one line below; what is left out has the field's default.
"""

from collections.abc import Mapping

from consumer.configuration.readers import (
    Reader,
    api_version,
    boolean,
    choice,
    json_object,
    names,
    number,
    text,
    whole_number,
)
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener

Keys = Mapping[str, Reader]

FILE = ("connections", "listeners")

CONNECTION: Keys = {
    "name": text,
    "auth": choice(Connection.Auth, not_yet=("soap", "bearer_token", "jwt_bearer")),
    "base_url": text,
    "token_url": text,
    "refresh_url": text,
    "client_id": text,
    "client_secret": text,
    "username": text,
    "password": text,
    "refresh_token": text,
}

LISTENER: Keys = {
    "name": text,
    "channel": text,
    "transport": choice(Listener.Transport, not_yet=("pubsub",)),
    "replay_from": text,
    "on_replay_lost": choice(Listener.ReplayLost),
    "enabled": boolean,
    "api_version": api_version,
    "connection_timeout": number,
    "read_timeout": number,
}
#: Of a listener, read apart: a reference and a list.
REFERENCE, HANDLERS = "connection", "handlers"

HANDLER: Keys = {
    "on": choice(HandlerMapping.On),
    "entity": text,
    "handler": text,
    "task": text,
    "changed_fields": names,
    "ordering": choice(HandlerMapping.Ordering),
    "queue": text,
    "max_attempts": whole_number,
    "options": json_object,
}

#: Planned, and refused with these words instead of "unknown".
NOT_YET = frozenset(
    {
        "token",
        "login_url",
        "is_sandbox",
        "scopes",
        "default_token_exp_time",
        "clock_skew",
        "optional_params",
        "credential_bearer",
        "client_config",
        "refresh_config",
        "token_store",
        "private_key",
        "proxy_config",
        "keep_alive_interval",
        "session_timeout",
        "pubsub_endpoint",
        "gap_policy",
    }
)
