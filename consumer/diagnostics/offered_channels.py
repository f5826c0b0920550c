"""Which channels a connection's org offers, for whoever fills in a form: asked once in a while."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.core.cache import cache

from audit.incidents.login import report
from consumer.diagnostics.connection_check import versions_of
from consumer.diagnostics.short_timeouts import REST_TIMEOUT, with_short_timeouts
from handlers.listener_rest_client import CANNOT_READ
from listeners.connections.token_sources import session_for, token_source
from listeners.models import Connection
from listeners.salesforce.channels_offered import Group, Offer, offered
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import DEFAULT_VERSION, RestClient

#: Seconds that an answer is good for; and a failure, so that typing does not ask again and again.
_GOOD_FOR, _FAILED_FOR = 300, 30

_HEADINGS = {
    Group.ALL: "Several entities",
    Group.CUSTOM: "Custom channels",
    Group.SELECTED: "Selected for Change Data Capture",
    Group.NOT_SELECTED: "Not selected in Setup: no changes come yet",
    Group.UNKNOWN: "Single entities",
}


def channels_of(connection: Connection) -> dict[str, Any]:
    """`{"groups": [{"label", "channels": [{"channel", "label"}]}], "notes": […], "problem": ""}`.

    With the connection's shared token: a login that was refused before is not tried more often
    than its listeners do. Outside any transaction.
    """
    key = f"channels-{connection.fingerprint}"  # another one when the connection is saved
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
    """Of the newest API version that the org serves and this product knows."""
    hasty = with_short_timeouts(connection)
    tokens, http = token_source(hasty, report=report), session_for(hasty)
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
            "channels": [{"channel": one.channel, "label": one.label} for one in channels],
        }
        for group, channels in groupby(offer.channels, key=lambda one: one.group)
    ]
