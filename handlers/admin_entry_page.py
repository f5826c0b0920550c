"""What the page of an audit entry shows: changed fields, header, deliveries with attempts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.safestring import SafeString

from audit.admin_labels import change_type_label
from audit.models import AuditLogEntry
from handlers import registry
from handlers.admin_labels import outcome_label, state_label
from handlers.checks import unregistered_message
from handlers.models import Delivery, DeliveryAttempt
from handlers.parked import Wait, waits_for
from handlers.redelivery import ON_THEIR_WAY

_KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
_BOOKKEEPING = {
    "CreatedById",
    "CreatedDate",
    "LastModifiedById",
    "LastModifiedDate",
    "SystemModstamp",
}


@dataclass(frozen=True)
class FieldRow:
    """A field of a record, or a part of a compound field: `Name.FirstName`."""

    name: str
    value: str
    kind: str
    note: str = ""


@dataclass(frozen=True)
class AttemptRow:
    attempt: DeliveryAttempt
    outcome: SafeString

    @property
    def seconds(self) -> float:
        return (self.attempt.finished_at - self.attempt.started_at).total_seconds()


@dataclass(frozen=True)
class DeliveryCard:
    delivery: Delivery
    state: SafeString
    warning: str
    waits: Wait | None
    attempts: list[AttemptRow]

    @property
    def is_on_its_way(self) -> bool:
        return self.delivery.state in ON_THEIR_WAY

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryCard:
        waits = delivery.state in Delivery.UNENDED and not delivery.is_external
        unknown = waits and registry.find(delivery.handler) is None
        attempts = delivery.attempt_log.select_related("redelivery")
        return cls(
            delivery,
            state_label(delivery.state),
            unregistered_message(delivery.handler) if unknown else "",
            waits_for(delivery),
            [AttemptRow(one, outcome_label(one.outcome)) for one in attempts],
        )


@dataclass(frozen=True)
class EntryPage:
    entry: AuditLogEntry
    change_type: SafeString
    committed_at: datetime
    fields: list[FieldRow]
    header: list[tuple[str, Any]]
    raw: str
    deliveries: list[DeliveryCard]

    @classmethod
    def of(cls, entry: AuditLogEntry) -> EntryPage:
        deliveries = Delivery.objects.filter(entry=entry).select_related("redelivery")
        return cls(
            entry=entry,
            change_type=change_type_label(entry.change_type),
            committed_at=committed_at(entry),
            fields=list(field_rows(entry)),
            header=_header(entry),
            raw=json.dumps(entry.changed_data, indent=2, ensure_ascii=False),
            deliveries=[DeliveryCard.of(delivery) for delivery in deliveries.order_by("id")],
        )


def committed_at(entry: AuditLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.commit_timestamp / 1000, UTC)


def summary_names(entry: AuditLogEntry) -> list[str]:
    """The fields in short: compound fields once, and without what every change changes. A create
    names none as changed, and carries all."""
    names = dict.fromkeys(
        name.partition(".")[0] for name in entry.changed_fields or entry.changed_data
    )
    return [name for name in names if name not in _BOOKKEEPING] or list(names)


def field_rows(entry: AuditLogEntry) -> Iterator[FieldRow]:
    diffs = set(entry.diff_fields or ())
    shown: set[str] = set()
    for name, value in _flat(entry.changed_data):
        shown.add(name)
        yield _row(name, value, "sent as a unified diff" if name in diffs else "")
    for name in entry.changed_fields or ():
        if not any(one == name or one.startswith(f"{name}.") for one in shown):
            yield FieldRow(name, "", "", "named as changed, sent without a value")


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _row(name: str, value: Any, note: str) -> FieldRow:
    if value is None:
        return FieldRow(name, "null (cleared)", "null", note)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return FieldRow(name, text or "(empty)", _KINDS.get(type(value), "object"), note)


def _header(entry: AuditLogEntry) -> list[tuple[str, Any]]:
    return [
        ("Listener", entry.listener),
        ("Channel", entry.channel),
        ("Source", entry.get_source_display()),
        ("Replay ID", entry.replay_id),
        ("Event UUID", entry.event_uuid),
        ("Transaction key", entry.transaction_key),
        ("Sequence number", str(entry.sequence_number)),
        ("Commit timestamp", f"{entry.commit_timestamp} ms"),
        ("Commit number", _text(entry.commit_number)),
        ("Commit user", entry.commit_user),
        ("Change origin", entry.change_origin),
        ("Records of the event", str(entry.record_count)),
        ("Changed fields", _names(entry.changed_fields)),
        ("Nulled fields", _names(entry.nulled_fields)),
        ("Diff fields", _names(entry.diff_fields)),
    ]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _names(names: list[str] | None) -> str:
    """An event that names none differs from one that does not say."""
    if names is None:
        return "not sent"
    return ", ".join(names) or "none"
