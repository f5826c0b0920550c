"""What about a batch an operator should know, as incidents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from audit.db.retry import suppress_transient_errors
from audit.models import AuditLogEntry, Incident
from audit.models.entry_queryset import Trouble
from handlers.routing.router import GAPS, ON

Kind = Incident.Kind

REMEDIES = {
    Kind.GAP: "Salesforce sent the fact of these changes without their data. Read the records.",
    Kind.OVERFLOW: "More than 100,000 changes in one transaction: read the whole entity again, "
    "deletions included.",
    Kind.WILDCARD: "Every record of the entity changed at once: read the whole entity again.",
    Kind.UNKNOWN_CHANGE_TYPE: "The change is recorded and went to no handler. See what it means "
    "in Salesforce's release notes.",
    Kind.UNDECODABLE: "See why under Quarantined, where it is kept raw; read it again there "
    "after an upgrade. This closes when none is left unread.",
    Kind.MALFORMED_ANSWER: "The answer is kept raw under Quarantined. Its events are asked for "
    "again; if this repeats, look at what stands between here and Salesforce.",
}


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Reported:
    """An incident, and the entries of a batch that it is about."""

    kind: Kind
    entries: Sequence[AuditLogEntry]
    incident: Incident


def report(listener_id: int, entries: Iterable[AuditLogEntry], now: datetime) -> list[Reported]:
    """Open or count up an incident for each kind and entity. Inside the caller's transaction."""
    groups: dict[tuple[Kind, str], list[AuditLogEntry]] = {}
    for entry in entries:
        kind = _kind(entry)
        if kind is not None:
            groups.setdefault((kind, _key(kind, entry)), []).append(entry)
    return [
        Reported(kind, group, Incident.objects.report(listener_id, _trouble(kind, key, group), now))
        for (kind, key), group in groups.items()
    ]


def stopped(listener_id: int, reason: str, now: datetime) -> None:
    """Open the incident of a listener that only an operator can help. Never inside a transaction.

    While the database does not answer there is none: the watch opens it later.
    """
    with suppress_transient_errors("open an incident"), transaction.atomic():
        Incident.objects.report(listener_id, stop(reason), now)


def stop(reason: str) -> Trouble:
    return Trouble(
        Kind.CONFIGURATION,
        "",
        f"The listener stopped: {reason}",
        "Correct the connection or the listener: that starts it again.",
        action="It stands still until its settings are changed.",
        lasts=True,
    )


def started(listener_id: int, now: datetime) -> None:
    """Close the incident of one that had stopped. Inside any transaction."""
    note = f"Receiving since {now:%Y-%m-%d %H:%M} UTC."
    Incident.objects.close(listener_id, Kind.CONFIGURATION, now, key="", note=note)


def unreadable(kind: Kind) -> Trouble:
    """The incident for what was quarantined."""
    if kind is Kind.MALFORMED_ANSWER:
        action = "The stream was opened again from the stored position."
    else:
        action = "The listener went on behind it. It can be read again under Quarantined."
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
        moment(min(times)),
        moment(max(times)),
        len(group),
        action="The changes are recorded.",
    )
