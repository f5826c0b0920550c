"""Incidents about recorded changes, unreadable messages and stopped listeners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from audit.db.retry import suppress_transient_errors
from audit.models import AuditLogEntry, Incident, Trouble
from handlers.routing.router import GAPS, ON

Kind = Incident.Kind

REMEDIES = {
    Kind.GAP: "Salesforce reported these changes without their data. Read the records from "
    "Salesforce.",
    Kind.OVERFLOW: "One transaction had more than 100,000 changes. Read the whole entity from "
    "Salesforce, deletions included.",
    Kind.WILDCARD: "Every record of the entity changed at once. Read the whole entity from "
    "Salesforce.",
    Kind.UNKNOWN_CHANGE_TYPE: "The change is recorded, but was sent to no handler. Look up its "
    "change type in Salesforce's release notes.",
    Kind.UNDECODABLE: "See the error under Quarantine, where the raw event is kept. After an "
    "upgrade, read it again there. This incident closes when no unread event is left.",
    Kind.MALFORMED_ANSWER: "The raw response is kept under Quarantine. Its events are requested "
    "again. If this repeats, check the proxies between this system and Salesforce.",
}


def utc_of(milliseconds: int) -> datetime:
    """Return the UTC time of a commit timestamp."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Reported:
    """An incident and the audit log entries of the batch that caused it."""

    kind: Kind
    entries: Sequence[AuditLogEntry]
    incident: Incident


def report(listener_id: int, entries: Iterable[AuditLogEntry], now: datetime) -> list[Reported]:
    """Report an incident for each kind and entity of the entries that need one.

    An incident that is already open is counted up. Inside the caller's transaction.
    """
    groups: dict[tuple[Kind, str], list[AuditLogEntry]] = {}
    for entry in entries:
        kind = _kind(entry)
        if kind is not None:
            groups.setdefault((kind, _key(kind, entry)), []).append(entry)
    return [
        Reported(kind, group, Incident.objects.report(listener_id, _trouble(kind, key, group), now))
        for (kind, key), group in groups.items()
    ]


def open_stopped(listener_id: int, reason: str, now: datetime) -> None:
    """Open the incident of a listener that stopped and needs an operator. Never inside a
    transaction.

    While the database is not available nothing is opened; the watch opens the incident later.
    """
    with suppress_transient_errors("open an incident"), transaction.atomic():
        Incident.objects.report(listener_id, stop(reason), now)


def stop(reason: str) -> Trouble:
    """Return the incident of a stopped listener."""
    return Trouble(
        Kind.CONFIGURATION,
        "",
        f"The listener stopped: {reason}",
        "Correct the settings of the connection or the listener. Saving them restarts the "
        "listener.",
        action="The listener is stopped until its settings change.",
        lasts=True,
    )


def close_stopped(listener_id: int, now: datetime) -> None:
    """Close the incident of a listener that had stopped and receives again. Inside any
    transaction."""
    note = f"Receiving since {now:%Y-%m-%d %H:%M} UTC."
    Incident.objects.close(listener_id, Kind.CONFIGURATION, now, key="", note=note)


def unreadable(kind: Kind) -> Trouble:
    """Return the incident of a quarantined event or response."""
    if kind is Kind.MALFORMED_ANSWER:
        action = "The stream was reopened from the stored position."
    else:
        action = "The listener skipped the event and continued. Retry it under Quarantine."
    summary = f"{kind.label}: kept in quarantine"
    return Trouble(kind, "", summary, REMEDIES[kind], action=action)


def _kind(entry: AuditLogEntry) -> Kind | None:
    if entry.change_type == "GAP_OVERFLOW":
        return Kind.OVERFLOW
    if entry.record_id.endswith("*"):
        return Kind.WILDCARD
    if entry.change_type in GAPS:
        return Kind.GAP
    return None if entry.change_type in ON else Kind.UNKNOWN_CHANGE_TYPE


def _key(kind: Kind, entry: AuditLogEntry) -> str:
    if kind is Kind.UNKNOWN_CHANGE_TYPE:
        return f"{entry.entity_name} {entry.change_type}"
    return entry.entity_name


def _trouble(kind: Kind, key: str, group: Sequence[AuditLogEntry]) -> Trouble:
    times = [entry.commit_timestamp for entry in group]
    return Trouble(
        kind,
        key,
        f"{kind.label}: {key}",
        REMEDIES[kind],
        utc_of(min(times)),
        utc_of(max(times)),
        len(group),
        action="The changes are recorded.",
    )
