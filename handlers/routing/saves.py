"""Joins the events of one save, where Salesforce sent a save of a record as several events.

A save is the updates of one record in one transaction: the events have the same transaction key,
and each has some of the fields. A mapping's condition is evaluated on the joined fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.models import AuditLogEntry
from handlers.models import HandlerMapping
from handlers.rules.field_paths import overlaid


@dataclass(slots=True)
class Save:
    """The joined changes of a save, in the form that conditions read."""

    changed_fields: list[str] | None
    changed_data: dict[str, Any]
    change_type: str = "UPDATE"


#: The save of each entry whose save came as several events, by entry id.
Saves = Mapping[int, Save]


def needing_saves(mappings: Iterable[HandlerMapping]) -> list[HandlerMapping]:
    """Return the mappings whose condition needs whole saves."""
    return [mapping for mapping in mappings if mapping.on == "update" and mapping.condition]


def saves_among(entries: Iterable[AuditLogEntry]) -> Saves:
    """Return the saves that consist of several of these entries, all of one listener."""
    parts: dict[tuple[str, str, str], dict[int, AuditLogEntry]] = {}
    for entry in entries:
        if _is_part(entry):
            key = (entry.transaction_key, entry.entity_name, entry.record_id)
            parts.setdefault(key, {})[entry.pk] = entry
    return {
        pk: save
        for of_save in parts.values()
        if len(of_save) > 1
        for save in [_joined(of_save.values())]
        for pk in of_save
    }


def entries_of_saves(entries: Iterable[AuditLogEntry]) -> list[AuditLogEntry]:
    """Return all recorded entries of the saves that these entries belong to, these included.

    All entries are of one listener. One query, or none if no entry can be part of a save.
    """
    parts = [entry for entry in entries if _is_part(entry)]
    return list(_parts_of(parts)) if parts else []


def earlier_parts(entries: Sequence[AuditLogEntry]) -> list[AuditLogEntry]:
    """Return the entries of earlier batches whose saves continue in this batch of new entries.

    The events of a transaction are contiguous, so only the first transaction of a batch can have
    begun in an earlier one. One query, or none if the batch begins with a new transaction.
    """
    first = entries[0]
    if first.sequence_number <= 1:
        return []
    transaction = [entry for entry in entries if entry.transaction_key == first.transaction_key]
    parts = [entry for entry in transaction if _is_part(entry)]
    return list(_parts_of(parts).filter(id__lt=first.pk)) if parts else []


def _is_part(entry: AuditLogEntry) -> bool:
    """Return whether an entry can be part of a save. A record read over REST is complete."""
    return entry.change_type == "UPDATE" and entry.source == AuditLogEntry.Source.STREAM


def _parts_of(parts: Sequence[AuditLogEntry]) -> Any:
    """Return the entries of the saves of these parts, found by the index `entry_identity`."""
    return AuditLogEntry.objects.filter(
        listener_id=parts[0].listener_id,
        transaction_key__among={entry.transaction_key for entry in parts},
        record_id__among={entry.record_id for entry in parts},
        change_type="UPDATE",
        source=AuditLogEntry.Source.STREAM,
    ).order_by("id")


def _joined(entries: Iterable[AuditLogEntry]) -> Save:
    """Join entries; later values win, and compound fields are merged part by part."""
    fields: dict[str, None] = {}
    data: dict[str, Any] = {}
    for entry in sorted(entries, key=lambda entry: entry.sequence_number):
        sent = entry.changed_fields
        fields |= dict.fromkeys(entry.changed_data if sent is None else sent)
        data = overlaid(data, entry.changed_data)
    return Save(list(fields), data)
