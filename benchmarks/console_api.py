"""The lists and rows of the API that are measured, by name."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from audit.models import AuditLogEntry, Incident
from benchmarks.console_data import newest, size
from benchmarks.console_rows import DAYS
from benchmarks.console_timing import Page, at, visitor
from handlers.models import Delivery

API = "/api/v1/"
_LISTS: dict[str, dict[str, dict[str, Any]]] = {
    "audit-log": {
        "all": {},
        "listener": {"listener": "prod"},
        "quiet listener": {"listener": "seldom"},
        "entity": {"entity": "Account"},
        "rare entity": {"entity": "Rare__c"},
        "unknown entity": {"entity": "Nothing__c"},
        "change type": {"change_type": "UPDATE"},
        "rare change type": {"change_type": "GAP_UPDATE"},
        "listener and type": {"listener": "seldom", "change_type": "DELETE"},
    },
    "deliveries": {
        "all": {},
        **{f"state {state}": {"state": state} for state in (*Delivery.State.values, "failed")},
        "handler": {"handler": "crm.sync"},
        "rare handler": {"handler": "rare.handler"},
        "handler and state": {"handler": "crm.sync", "state": "dead"},
        "listener": {"listener": "prod"},
        "quiet listener": {"listener": "seldom"},
        "quiet listener and state": {"listener": "seldom", "state": "dead"},
        "halting": {"halts": "true"},
        "not halting": {"halts": "false"},
    },
    "incidents": {
        "all": {},
        "open": {"open": "true"},
        "closed": {"open": "false"},
        "kind": {"kind": Incident.Kind.OUTAGE},
        "listener": {"listener": "prod"},
    },
    "actions": {"all": {}, "who": {"who": "user7"}, "action": {"action": "stop"}},
    "redeliveries": {"all": {}},
    "listeners": {"all": {"page_size": 200}},
    "handler-mappings": {"all": {}},
}
_PAGED = ("audit-log", "deliveries", "incidents", "actions")


def api_pages() -> Iterator[tuple[str, Page]]:
    for kind, filters in _LISTS.items():
        for name, parameters in filters.items():
            yield f"API, {kind}: {name}", at(f"{API}{kind}/?{urlencode(parameters)}")
        if kind in _PAGED:
            yield f"API, {kind}: second page", _second(f"{API}{kind}/")
    yield "API, status", at(f"{API}status/")
    yield "API, audit-log: record", lambda: f"{API}audit-log/?record_id={_record()}"
    yield "API, audit-log: a day", lambda: f"{API}audit-log/?{_day()}"
    yield "API, audit-log: an entry", lambda: f"{API}audit-log/{_some()}/"
    yield "API, deliveries: of an entry", lambda: f"{API}deliveries/?entry={_some()}"
    yield "API, deliveries: one", lambda: f"{API}deliveries/{_some()}/"


def _second(address: str) -> Page:
    """Return the second page of a list, at the address that its first page names."""
    return at(str(visitor().get(address).json()["next"]))


def _some() -> int:
    return random.randrange(1001, size())


def _record() -> str:
    return str(AuditLogEntry.objects.values_list("record_id", flat=True).get(pk=_some()))


def _day() -> str:
    since = newest() - timedelta(days=random.randrange(1, DAYS))
    until = since + timedelta(days=1)
    return urlencode({"since": since.isoformat(), "until": until.isoformat()})
