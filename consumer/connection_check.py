"""Whether a connection works: log in → versions → limits → subscribe to each channel once."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from django.utils import timezone

from audit.login_troubles import report
from consumer.usage import LIMIT, keep, keep_failure
from listeners import listener_rules
from listeners.connection_rules import warnings
from listeners.logins import session_for, token_source
from listeners.models import Connection, Listener, Position
from listeners.salesforce.auth.soap import LAST_VERSION
from listeners.salesforce.errors import (
    LoginRefused,
    LoginUnavailable,
    PubSubRefused,
    Reaction,
    RestRefused,
    SalesforceError,
    StreamRefused,
)
from listeners.salesforce.http import ClientFileMissing
from listeners.salesforce.rest import DEFAULT_VERSION, RestClient
from listeners.salesforce.stream import EventStream
from listeners.salesforce.tokens import Token, Tokens
from listeners.secrets import SecretUnavailable
from listeners.streams import stream_for
from listeners.token_stores.redis import RedisStore

TIP = "-1"
REFUSAL_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    text: str
    is_failure: bool = False


def check_connection(connection: Connection, listeners: Sequence[Listener]) -> Iterator[Finding]:
    """What is found, step by step. A login that is refused is not tried twice, and ends it."""
    for _, warning in warnings(connection):
        yield Finding(f"note: {warning}")
    try:
        http = session_for(connection)
        version = listeners[0].api_version if listeners else LAST_VERSION
        tokens = token_source(connection, version, report=report, insists=True)
        token = tokens.get()
        yield Finding(f"login: accepted ({connection.get_auth_display()})")
        yield Finding(f"instance: {token.instance_url}{_other_than(connection, token)}")
        yield Finding(f"org: {token.org_id or 'not told'}")
        if connection.token_store == Connection.TokenStore.REDIS:
            yield from _redis(RedisStore(connection.pk))
        served = yield from _served(RestClient(tokens, http=http), listeners)
        yield _limits(connection, tokens, http, served)
        _start_again(listeners)
        for listener in listeners:
            yield from _channel(tokens, served, listener)
    except (SecretUnavailable, ClientFileMissing) as missing:
        yield Finding(f"login: not tried, {missing}", is_failure=True)
    except (LoginRefused, LoginUnavailable) as refused:
        yield Finding(str(refused), is_failure=True)
    except SalesforceError as error:
        yield Finding(f"REST: {error}", is_failure=True)


def _redis(store: RedisStore) -> Iterator[Finding]:
    if store.writes_to_disk() is False:
        yield Finding(
            "note: Redis does not write to disk (appendonly no): a rotated refresh token does not "
            "outlive it"
        )


def _start_again(listeners: Sequence[Listener]) -> None:
    """The login works: listeners that stopped over it are tried again by their processes."""
    Position.objects.filter(listener__in=listeners, state=Position.State.FAILED).update(
        failed_fingerprint=""
    )


_NO_VERSIONS = "API versions: none told"


def _other_than(connection: Connection, token: Token) -> str:
    """Requests go where the login's answer says."""
    if connection.base_url in ("", token.instance_url):
        return ""
    return f" (as the login says; the base URL is {connection.base_url})"


def _served(rest: RestClient, listeners: Sequence[Listener]) -> Generator[Finding, None, list[str]]:
    """API versions, oldest first. Changes come without REST: the channels are tried all the same,
    where there are any."""
    try:
        served = _versions(rest)
    except RestRefused as refused:
        yield Finding(f"API versions: not readable ({refused})", is_failure=not listeners)
        return []
    yield Finding(f"API versions: {served[0]} to {served[-1]}" if served else _NO_VERSIONS)
    return served


def _versions(rest: RestClient) -> list[str]:
    told = (entry.get("version") for entry in rest.versions())
    return sorted((str(version) for version in told if version), key=_order)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _limits(
    connection: Connection, tokens: Tokens, http: requests.Session, served: Sequence[str]
) -> Finding:
    """Kept for the console and the status. A refusal is no failure: changes come without it."""
    version = served[-1] if served else DEFAULT_VERSION
    rest = RestClient(tokens, version, http=http)
    try:
        limit: Any = rest.limits().get(LIMIT)
    except RestRefused as refused:
        keep_failure(connection, str(refused))
        return Finding(f"limits: not readable ({refused})")
    keep(connection, limit, timezone.now())
    match limit:
        case {"Max": most, "Remaining": remaining}:
            return Finding(f"{LIMIT}: {remaining} of {most} remaining")
        case _:
            return Finding(f"{LIMIT}: not told")


def _channel(tokens: Tokens, served: Sequence[str], listener: Listener) -> Iterator[Finding]:
    prefix = f"listener {listener.name}" + ("" if listener.enabled else " (disabled)")
    for _, warning in listener_rules.warnings(listener):
        yield Finding(f"note: {prefix}: {warning}")
    if served and listener.api_version not in served:
        yield Finding(
            f"{prefix}: API version {listener.api_version} is not served; set api_version to one "
            f"from {served[0]} to {served[-1]}",
            is_failure=True,
        )
        return
    try:
        _subscribe(tokens, listener)
    except (LoginRefused, LoginUnavailable):
        raise
    except SalesforceError as error:
        if isinstance(error, PubSubRefused) and error.code.endswith(_IN_USE):
            yield Finding(f"{prefix}: {_heard(listener)}: in use, by its process or another client")
            return
        text = f"{prefix}: {_heard(listener)}: {error}{_advice(error, listener)}"
        yield Finding(text, is_failure=True)
        return
    yield Finding(f"{prefix}: {_heard(listener)}: permitted")


#: Of a managed subscription, which one client at a time may hear.
_IN_USE = "managed.subscription.already.active"


def _heard(listener: Listener) -> str:
    if listener.transport == Listener.Transport.COMETD:
        return f"channel {listener.channel}"
    managed = f", managed subscription {listener.subscription}" if listener.subscription else ""
    return f"topic {listener.channel} at {listener.pubsub_endpoint}{managed}"


def _subscribe(tokens: Tokens, listener: Listener) -> None:
    """From the tip, so that nothing is delivered; no position moves. (What waits for a managed
    subscription is delivered, and comes again.)"""
    stream = stream_for(listener, tokens)
    try:
        stream.open(TIP)
        if listener.transport == Listener.Transport.PUBSUB:
            _await_refusal(stream)
    finally:
        stream.close()


def _await_refusal(stream: EventStream) -> None:
    """One over gRPC may come a moment after the stream began."""
    deadline = time.monotonic() + REFUSAL_SECONDS
    while not stream.has_news and time.monotonic() < deadline:
        time.sleep(0.05)
    if stream.has_news:
        stream.poll()


#: What asks for a channel: of the Streaming API, and of the Pub/Sub API.
_SUBSCRIBING = ("/meta/subscribe", "GetTopic", "Subscribe", "ManagedSubscribe")


def _advice(error: SalesforceError, listener: Listener) -> str:
    refused = isinstance(error, StreamRefused) and error.what in _SUBSCRIBING
    if not refused or error.reaction is not Reaction.CONFIGURATION:
        return ""
    managed = (
        " And that the managed event subscription has that developer name, this channel as its "
        "topic, and runs."
    )
    return (
        " Check the channel's name, that its entities are selected in Setup under Change Data "
        "Capture, and that the login's user may view all of their records."
        + (managed if listener.subscription else "")
    )
