"""The Salesforce REST client of a connection, for code that has no event."""

from __future__ import annotations

from typing import Any


def salesforce_client(connection: str) -> Any:
    """Return a ready `simple_salesforce.Salesforce` for the connection with that name.

        salesforce_client("prod").query("SELECT Id FROM Account")

    The client shares the connection's token with the listeners and handlers, and renews it as
    needed. Call this function where the client is used and do not keep its result: a client belongs
    to one thread, and a connection may be changed.

    Raises `UnknownConnection` (a LookupError) for a name that is not configured, `LoginRefused` and
    `LoginUnavailable` of `listeners.salesforce.errors`, and simple_salesforce's own exceptions.
    """
    # Imported on the first call: handler modules are imported before the apps are ready, and
    # simple_salesforce brings a SOAP library with it.
    from listeners.connections import handler_clients

    return handler_clients.client_named(connection)
