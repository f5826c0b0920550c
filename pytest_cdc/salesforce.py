"""The org that a test does not have: its connection, its listener, and what stands in for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from listeners import clients
from listeners.login_ledger import Reporter
from listeners.models import Connection, Listener

NAME = "pytest-cdc"
_NO_ORG = (
    "{}: a test has no org to call. Give the test the fixture cdc_salesforce, and call it with "
    "what is to stand in: cdc_salesforce(stand_in)."
)


class NoOrg(Exception):
    """A handler called Salesforce back, and the test has not said what is to answer it.

    Call `cdc_salesforce(stand_in)` before the handler runs.
    """


class StandIn:
    """What `event.salesforce` and `salesforce_client(…)` are in a test."""

    def __init__(self) -> None:
        self._client: Any = None
        self._real = clients.client_for, clients.renew
        self._real_named = clients.client_named

    def __call__(self, client: Any) -> None:
        """From now on it is this, for events of every listener and for every connection."""
        self._client = client

    def client_for(self, listener: Listener, report: Reporter) -> Any:
        if self._client is not None:
            return self._client
        if listener.connection.name != NAME:
            return self._real[0](listener, report)
        raise NoOrg(_NO_ORG.format("event.salesforce"))

    def client_named(self, name: str, report: Reporter) -> Any:
        if self._client is not None:
            return self._client
        if name != NAME and Connection.objects.filter(name=name).exists():
            return self._real_named(name, report)
        raise NoOrg(_NO_ORG.format(f"salesforce_client({name!r})"))

    def renew(self, listener: Listener, report: Reporter) -> None:
        """Of the token, before a handler's transaction."""
        if self._client is None and listener.connection.name != NAME:
            self._real[1](listener, report)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """In place of the clients that log in, meanwhile."""
    one = StandIn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "client_for", one.client_for)
        patch.setattr(clients, "client_named", one.client_named)
        patch.setattr(clients, "renew", one.renew)
        yield one


def make_listener() -> Listener:
    """Of every entity of an org; it is never started."""
    connection = Connection.objects.create(
        name=NAME,
        auth=Connection.Auth.CLIENT_CREDENTIALS,
        base_url="https://pytest-cdc.invalid",
        client_id="pytest-cdc",
    )
    return Listener.objects.create(name=NAME, connection=connection, enabled=False)
