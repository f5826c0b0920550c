"""Stores connections and listeners as an operator does, and uses them as the product does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

from consumer.diagnostics.connection_check import check_connection
from consumer.diagnostics.findings import Finding
from listeners.connections.client_config import http_config, stream_options
from listeners.connections.token_sources import token_source
from listeners.models import Connection, Listener
from listeners.models.connection_rules import KINDS
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import SalesforceError
from tests.sample_data import connection_to, make_listener
from tests.settings_on_the_wire.orgs import Org, credentials_of


def stored(org: Org, auth: str = "client_credentials", **fields: Any) -> Connection:
    """Store a validated connection, and return it as read back from the database.

    Settings that its kind of login uses and that `fields` does not give are right for the org.
    """
    known = credentials_of(org)
    where = {"login_url": org.url} if auth == "soap" else {"base_url": org.url}
    told = {name: known[name] for name in known.keys() & KINDS[auth].used_fields}
    values = {"base_url": "", **where, **told, **fields}
    connection = connection_to(values.pop("base_url"), {}, auth=auth, **values)
    connection.full_clean()
    connection.save()
    return Connection.objects.get(pk=connection.pk)


def listening(connection: Connection, **fields: Any) -> Listener:
    """Store a validated listener, and return it as read back from the database."""
    listener = make_listener(connection=connection, **fields)
    listener.full_clean()
    listener.save()
    return Listener.objects.select_related("connection").get(pk=listener.pk)


@contextmanager
def stream_of(listener: Listener, **more: Any) -> Iterator[CometdStream]:
    """Yield the listener's stream, built as the receiver builds it."""
    tokens = token_source(listener.connection, listener.api_version)
    config = http_config(listener.connection)
    stream = CometdStream(
        tokens, listener.channel, stream_options(listener), http_config=config, **more
    )
    try:
        yield stream
    finally:
        stream.close()


def poll_until(
    stream: CometdStream, condition: Callable[[], bool], polls: int = 50
) -> list[Mapping[str, Any]]:
    """Poll until the condition holds, at most `polls` times, and return the messages."""
    messages: list[Mapping[str, Any]] = []
    for _ in range(polls):
        if condition():
            break
        messages += stream.poll()
    return messages


@contextmanager
def polling(stream: CometdStream) -> Iterator[list[Any]]:
    """Let another thread wait in a poll within the block; the yielded list gets its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(stream.poll())
        except SalesforceError as error:
            results.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        stream.close()
        thread.join()


def findings(connection: Connection, *listeners: Listener) -> list[Finding]:
    """Return the connection check's findings, with a listener made here if none is given."""
    return list(check_connection(connection, listeners or (listening(connection),)))


def failures(connection: Connection, *listeners: Listener) -> list[str]:
    return [found.text for found in findings(connection, *listeners) if found.is_failure]


def failure(connection: Connection) -> str:
    """Return the only reason why the check fails."""
    [text] = failures(connection)
    return text
