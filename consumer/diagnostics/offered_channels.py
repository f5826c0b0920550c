"""The channels that a connection's org offers, cached for the listener form."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.core.cache import cache

from consumer.diagnostics.connection_check import versions_of
from consumer.diagnostics.short_timeouts import REST_TIMEOUT, with_short_timeouts
from handlers.listener_rest_client import CANNOT_READ
from listeners.connections.token_sources import session_for, token_source
from listeners.models import Connection
from listeners.salesforce.channels_offered import Group, Offer, offered
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import DEFAULT_VERSION, RestClient

#: Seconds for which a result is cached, and a failure, so that typing does not repeat the request.
_GOOD_FOR, _FAILED_FOR = 300, 30

_HEADINGS = {
    Group.ALL: "Several entities",
    Group.CUSTOM: "Custom channels",
    Group.SELECTED: "Selected for Change Data Capture",
    Group.NOT_SELECTED: "Not selected in Setup: no changes are published yet",
    Group.UNKNOWN: "Single entities",
}


def channels_of(connection: Connection) -> dict[str, Any]:
    """`{"groups": [{"label", "channels": [{"channel", "label"}]}], "notes": […], "problem": ""}`.

    Uses the connection's shared token, so that a refused login is not retried more often than its
    listeners retry it. Outside any transaction.
    """
    key = f"channels-{connection.fingerprint}"  # changes when the connection is saved
    known: Any = cache.get(key)
    match known:
        case {"groups": list(groups), "notes": list(notes), "problem": str(problem)}:
            return {"groups": groups, "notes": notes, "problem": problem}
    found = _asked(connection)
    cache.set(key, found, _FAILED_FOR if found["problem"] else _GOOD_FOR)
    return found


def _asked(connection: Connection) -> dict[str, Any]:
    try:
        offer = offered(_client(connection))
    except CANNOT_READ as problem:
        return {"groups": [], "notes": [], "problem": str(problem)}
    return {"groups": _groups(offer), "notes": list(offer.notes), "problem": ""}


def _client(connection: Connection) -> RestClient:
    """Return a client with the newest API version that the org serves and this product supports."""
    quick_connection = with_short_timeouts(connection)
    tokens, http = token_source(quick_connection), session_for(quick_connection)
    client = RestClient(tokens, DEFAULT_VERSION, REST_TIMEOUT, http=http)
    try:
        served = versions_of(client)
    except RestRefused:
        return client
    version = DEFAULT_VERSION if not served or DEFAULT_VERSION in served else served[-1]
    return RestClient(tokens, version, REST_TIMEOUT, http=http)


def _groups(offer: Offer) -> list[dict[str, Any]]:
    return [
        {
            "label": _HEADINGS[group],
            "channels": [{"channel": found.channel, "label": found.label} for found in channels],
        }
        for group, channels in groupby(offer.channels, key=lambda found: found.group)
    ]
