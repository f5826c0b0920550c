"""Probes the brokers of destinations, and keeps an incident open while one takes no connection."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import datetime, timedelta

import structlog

from audit.models import Incident, Trouble
from consumer.monitoring.snapshot import close
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.models import Destination
from handlers.tracking.reports import reports_queue
from listeners.threads import call_in_thread, for_each

log = structlog.get_logger(__name__)

KIND = Incident.Kind.DESTINATION
#: How long no process may have failed to connect until the incident is closed. Every process
#: probes: the one that lacks a secret or a route must report in between.
QUIET = timedelta(minutes=3)
#: Seconds until a probe without an answer counts as failed; resolving a name has no timeout.
LONGEST_SECONDS = 15.0


#: The last probe of each destination; one that still runs is not joined by another.
_probes: dict[int, Future[str]] = {}


def check(now: datetime) -> None:
    """Open, refresh or close the incident of each destination. Never inside a transaction."""
    destinations = list(Destination.objects.all())
    apps.keep_only({row.pk for row in destinations})
    known = down()
    reasons = _failures(destinations)
    names = {row.name for row in destinations}

    def settle(name: str) -> None:
        if name in reasons:
            Incident.objects.report(None, _trouble(name, reasons[name]), now)
        elif name not in names:
            close(known[name], "It was deleted.", now)
        elif now - known[name].last_seen_at >= QUIET:
            close(known[name], "Its broker accepts connections again.", now)

    for_each(sorted(reasons.keys() | known.keys()), settle)


def report_unread(destination: Destination, reason: str, now: datetime) -> None:
    """Open or refresh the incident of a destination that takes connections, but whose reports
    cannot be read. Inside any transaction."""
    probe = _probes.get(destination.pk)
    if probe is not None and probe.done() and not probe.result():
        Incident.objects.report(None, _unread(destination.name, reason), now)


def down() -> Mapping[str, Incident]:
    """Return the open incidents of destinations, by name."""
    return {row.key: row for row in Incident.objects.opened().filter(kind=KIND)}


def _failures(destinations: Sequence[Destination]) -> dict[str, str]:
    """Return why brokers take no connection, by the destination's name."""
    running = {pk: probe for pk, probe in _probes.items() if not probe.done()}
    _probes.clear()
    for row in destinations:
        _probes[row.pk] = running.get(row.pk) or call_in_thread("probe", _probe, row)
    wait(_probes.values(), LONGEST_SECONDS)
    late = f"no answer in {LONGEST_SECONDS:.0f} seconds"
    probes = [(row.name, _probes[row.pk]) for row in destinations]
    found = {
        name: probe.result() if probe.done() else f"Destination {name}: {late}"
        for name, probe in probes
    }
    return {name: why for name, why in found.items() if why}


def _probe(destination: Destination) -> str:
    """Return why the destination's broker takes no connection, for any reason. Uses no database."""
    try:
        return _failure(destination)
    except Exception as error:  # noqa: BLE001  no destination may stop the other checks
        kind = type(error).__name__  # its text may have secrets
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "destination cannot be probed",
            destination=destination.name,
            error=kind,
            traceback=where,
        )
        return f"Destination {destination.name}: the connection failed with {kind}; see the log"


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
