"""Probes the brokers of destinations, and keeps an incident open while one takes no connection."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from audit.models import Incident, Trouble
from consumer.monitoring.snapshot import close
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination

KIND = Incident.Kind.DESTINATION
#: How many brokers are probed at once: each of them may take seconds to time out.
_AT_ONCE = 8


def check(now: datetime) -> None:
    """Open, refresh or close the incident of each destination. Never inside a transaction."""
    destinations = list(Destination.objects.all())
    reasons: dict[str, str] = {}
    if destinations:
        with ThreadPoolExecutor(min(_AT_ONCE, len(destinations))) as pool:
            found = pool.map(_failure, destinations)
            reasons = {row.name: why for row, why in zip(destinations, found, strict=True) if why}
    known = down()
    for name, reason in reasons.items():
        Incident.objects.report(None, _trouble(name, reason), now)
    for name, incident in known.items():
        if name not in reasons:
            is_there = any(row.name == name for row in destinations)
            note = "Its broker accepts connections again." if is_there else "It was deleted."
            close(incident, note, now)


def down() -> Mapping[str, Incident]:
    """Return the open incidents of destinations, by name."""
    return {row.key: row for row in Incident.objects.opened().filter(kind=KIND)}


def _failure(destination: Destination) -> str:
    """Return why the destination's broker takes no connection; empty if it does. Uses no database:
    it runs in a thread of its own."""
    try:
        with apps.errors(destination):
            apps.connect(apps.app_of(destination))
    except BrokerUnavailable as unavailable:
        return str(unavailable)
    return ""


def _trouble(name: str, reason: str) -> Trouble:
    return Trouble(
        KIND,
        name,
        f"{reason}.",
        "Check that broker, its network and its certificate, and the settings of the destination; "
        "Test connection on its page shows which step fails.",
        action="Deliveries to it wait, and are sent once the broker is back. Other deliveries are "
        "not held up.",
        lasts=True,
    )
