"""The keys that a file may have. Each is a field of the model, with the parser of its value.

An unknown key is refused, because a setting without effect is a defect. To support another key, add
the model's field and one line below. An omitted key takes the field's default.

Wrong             write the value as the message says, which completes "key: …" without secrets
AlreadyReported   the node has a problem that was reported before
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from django.db.models import Choices

from consumer.configuration.errors import suggestion
from consumer.configuration.yaml_tree import Items, Mapping, Node, Scalar, Unusable
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener
from mirror.models import Mirror

Parser = Callable[[Node], Any]
Keys = dict[str, Parser]


class Wrong(Exception):
    """The value is invalid. Write it as the message says."""


class AlreadyReported(Exception):
    """The value is unusable for a reason that was reported already. Correct that line."""


def text(node: Node) -> str:
    match node:
        case Scalar(kind="text" | "int" | "float"):
            return node.text
        case Scalar(kind="bool"):
            raise Wrong(f"give text; put {node.text} in quotes if it is meant as text")
        case Unusable():
            raise AlreadyReported
        case _:
            raise Wrong(f"give text, not {_described(node)}")


def choice(choices: type[Choices]) -> Parser:
    def read(node: Node) -> str:
        value = text(node)
        if value not in choices.values:
            named = [known for known in choices.values if known]
            raise Wrong(f"{value!r} is not valid; {suggestion(value, named)}")
        return value

    return read


def boolean(node: Node) -> bool:
    word = node.text.lower() if isinstance(node, Scalar) else ""
    if isinstance(node, Scalar) and (node.kind == "bool" or node.from_environment):
        if word in ("true", "yes", "on"):
            return True
        if word in ("false", "no", "off"):
            return False
    raise Wrong(f"write true or false, not {_described(node)}")


def number(node: Node) -> float:
    try:
        value = float(_written(node, "int", "float"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        endless = isinstance(node, Scalar) and node.kind == "float"
        raise Wrong("give a finite number" if endless else f"give a number, not {_described(node)}")
    return value


def whole_number(node: Node) -> int:
    try:
        return int(_written(node, "int"))
    except ValueError:
        raise Wrong(f"give a whole number, not {_described(node)}") from None


def api_version(node: Node) -> str:
    value = text(node)
    if not re.fullmatch(r"\d+(\.\d)?", value, re.ASCII):
        raise Wrong("write a version such as 67.0")
    return value if "." in value else f"{value}.0"


def names_like(example: str) -> Parser:
    """Return a parser of a list of texts, which names `example` in its error message."""

    def read(node: Node) -> list[str]:
        if not isinstance(node, Items):
            raise Wrong(f"give a list such as {example}, not {_described(node)}")
        return [text(item) for item in node.items]

    return read


def object_like(example: str) -> Parser:
    """Return a parser of a JSON object, which names `example` in its error message."""

    def read(node: Node) -> Any:
        if not isinstance(node, Mapping):
            raise Wrong(f"give a mapping such as {example}, not {_described(node)}")
        return _json(node)

    return read


names = names_like("[Phone, Name]")
json_object = object_like("{url: …}")


def _json(node: Node) -> Any:
    match node:
        case Mapping():
            return {key: _json(entry.value) for key, entry in node.entries.items()}
        case Items():
            return [_json(item) for item in node.items]
        case Scalar(kind="null"):
            return None
        case Scalar():
            return _PLAIN[node.kind](node)
        case Unusable():
            raise AlreadyReported


_PLAIN: dict[str, Parser] = {"bool": boolean, "int": whole_number, "float": number, "text": text}


def _written(node: Node, *kinds: str) -> str:
    """Return the number as written, or an empty string for another kind of node."""
    if isinstance(node, Scalar) and (node.kind in kinds or node.from_environment):
        return node.text
    return ""


def _described(node: Node) -> str:
    match node:
        case Items():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(kind="bool"):
            return "true or false"
        case Scalar(kind="int" | "float"):
            return "this number"
        case _:
            return "this text"


FILE = ("connections", "destinations", "listeners", "mirrors")

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


#: A key with a mapping as its value. Each part is a field of its own: `proxy_config: {host: …}` is
#: the field `proxy_host`.
NESTED, PREFIX = "proxy_config", "proxy_"
PARTS = ("scheme", "host", "port", "username", "password")


def written(field: str) -> str:
    """Return the key of the field as written in the file."""
    part = field.removeprefix(PREFIX)
    return f"{NESTED}.{part}" if part != field and part in PARTS else field


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
    "after": choice(HandlerMapping.After),
    "options": json_object,
    "track": boolean,
    "report_timeout": whole_number,
    "on_unknown": choice(HandlerMapping.OnUnknown),
}
#: The key of a handler that is read separately: a reference.
DESTINATION_KEY = "destination"

DESTINATION: Keys = {
    "name": text,
    "broker": text,
    "ca_certificate": text,
    "result_backend": text,
    "worker_events": boolean,
}

MIRROR: Keys = {
    "model": text,
    "database": text,
    "deletes": choice(Mirror.Deletes),
    "verify": choice(Mirror.Verify),
}
#: The key of a mirror that is read separately: a reference.
LISTENER_KEY = "listener"
