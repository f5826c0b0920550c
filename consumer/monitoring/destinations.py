"""Probes the brokers of destinations, and keeps an incident open while one takes no connection."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from audit.models import Incident, Trouble
from consumer.monitoring.snapshot import close
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination
from handlers.tracking.reports import reports_queue

log = structlog.get_logger(__name__)

KIND = Incident.Kind.DESTINATION
#: How long no process may have failed to connect until the incident is closed. Every process
#: probes: the one that lacks a secret or a route must report in between.
QUIET = timedelta(minutes=3)
#: Seconds until a probe without an answer counts as failed; resolving a name has no timeout.
LONGEST_SECONDS = 15.0


class _Probe(threading.Thread):
    """Connects to one broker. Uses no database."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(name=f"probe-{destination.pk}", daemon=True)
        self._destination = destination
        self._subject = f"Destination {destination.name}"
        self._failure = f"{self._subject}: no answer in {LONGEST_SECONDS:.0f} seconds"

    def run(self) -> None:
        try:
            self._failure = _failure(self._destination)
        except Exception as error:  # noqa: BLE001  no destination may stop the other checks
            kind = type(error).__name__  # its text may have secrets
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "destination cannot be probed",
                destination=self._destination.name,
                error=kind,
                traceback=where,
            )
            self._failure = f"{self._subject}: the connection failed with {kind}; see the log"

    def failure(self, deadline: float) -> str:
        """Return why the broker takes no connection; empty if it does."""
        self.join(max(0.0, deadline - time.monotonic()))
        return self._failure


#: The last probe of each destination; one that still runs is not joined by another.
_probes: dict[int, _Probe] = {}


def check(now: datetime) -> None:
    """Open, refresh or close the incident of each destination. Never inside a transaction."""
    destinations = list(Destination.objects.all())
    apps.keep_only({row.pk for row in destinations})
    known = down()
    reasons = _failures(destinations)
    for name, reason in reasons.items():
        Incident.objects.report(None, _trouble(name, reason), now)
    names = {row.name for row in destinations}
    for name, incident in known.items():
        if name not in names:
            close(incident, "It was deleted.", now)
        elif name not in reasons and now - incident.last_seen_at >= QUIET:
            close(incident, "Its broker accepts connections again.", now)


def report_unread(destination: Destination, reason: str, now: datetime) -> None:
    """Open or refresh the incident of a destination that takes connections, but whose reports
    cannot be read. Inside any transaction."""
    probe = _probes.get(destination.pk)
    if probe is not None and not probe.failure(time.monotonic()):
        Incident.objects.report(None, _unread(destination.name, reason), now)


def down() -> Mapping[str, Incident]:
    """Return the open incidents of destinations, by name."""
    return {row.key: row for row in Incident.objects.opened().filter(kind=KIND)}


def _failures(destinations: Sequence[Destination]) -> dict[str, str]:
    """Return why brokers take no connection, by the destination's name."""
    for row in destinations:
        if not ((running := _probes.get(row.pk)) and running.is_alive()):
            _probes[row.pk] = _Probe(row)
            _probes[row.pk].start()
    deadline = time.monotonic() + LONGEST_SECONDS
    found = {row.name: _probes[row.pk].failure(deadline) for row in destinations}
    return {name: why for name, why in found.items() if why}


def _failure(destination: Destination) -> str:
    """Return why the destination's broker takes no connection; empty if it does."""
    try:
        with apps.errors(destination):
            apps.connect(apps.app_of(destination))
    except BrokerUnavailable as unavailable:
        return str(unavailable)
    return ""


def _unread(name: str, reason: str) -> Trouble:
    subject = f"Destination {name}"
    return Trouble(
        KIND,
        name,
        f"{subject}: the reports of its tasks cannot be read: "
        f"{reason.removeprefix(f'{subject}: ')}.",
        "Check the rights of the destination's user: it must be able to read the queue "
        f"{reports_queue()}, on Redis with its lists and the key {reports_queue()}.reader.",
        action="Its tasks are sent, but their outcomes are not recorded: attempts end as unknown.",
        lasts=True,
    )


def _trouble(name: str, reason: str) -> Trouble:
    return Trouble(
        KIND,
        name,
        f"{reason}.",
        "Check that broker, its network and its certificate, and the settings of the destination; "
        "Test connection on its page shows which step fails. Every listener process and worker "
        "needs a route to it, and the secrets that the destination refers to.",
        action="Deliveries to it wait, and are sent once the broker is back. Other deliveries are "
        "not held up.",
        lasts=True,
    )
