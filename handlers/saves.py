"""Puts together what one save of a record changed, where Salesforce sent it as several events.

A save is the updates of one record in one transaction: the events have the same transaction key,
and each has some of the fields. A mapping's condition is judged by all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.models import AuditLogEntry
from handlers.routing.field_paths import overlaid

if TYPE_CHECKING:
    from handlers.models import HandlerMapping


@dataclass(slots=True)
class Save:
    """What the events of a save changed together, in the form that conditions read."""

    changed_fields: list[str] | None
    changed_data: dict[str, Any]
    change_type: str = "UPDATE"


#: By an entry's id, where its save came as several events.
Saves = Mapping[int, Save]


def judging(mappings: Iterable[HandlerMapping]) -> list[HandlerMapping]:
    """Return the mappings that are judged by whole saves."""
    return [one for one in mappings if one.on == "update" and one.condition]


def saves_among(entries: Iterable[AuditLogEntry]) -> Saves:
    """Return the saves that came as several of these entries, which are of one listener."""
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


def recorded_beside(entries: Iterable[AuditLogEntry]) -> list[AuditLogEntry]:
    """Return all recorded entries of the saves that these are parts of, these among them.

    They are of one listener. One query, or none where no entry is a part.
    """
    parts = [entry for entry in entries if _is_part(entry)]
    return list(_parts_of(parts)) if parts else []


def begun_before(entries: Sequence[AuditLogEntry]) -> list[AuditLogEntry]:
    """Return the entries of earlier batches whose saves go on in this batch of new entries.

    A transaction's events come one after the other, so only the first one of a batch can have
    begun before. One query, or none where the batch begins with a transaction.
    """
    first = entries[0]
    if first.sequence_number <= 1:
        return []
    parts = [one for one in entries if one.transaction_key == first.transaction_key]
    parts = [one for one in parts if _is_part(one)]
    return list(_parts_of(parts).filter(id__lt=first.pk)) if parts else []


def _is_part(entry: AuditLogEntry) -> bool:
    """A record that was read over REST is whole."""
    return entry.change_type == "UPDATE" and entry.source == AuditLogEntry.Source.STREAM


def _parts_of(parts: Sequence[AuditLogEntry]) -> Any:
    """Found by `entry_identity`."""
    return AuditLogEntry.objects.filter(
        listener_id=parts[0].listener_id,
        transaction_key__among={entry.transaction_key for entry in parts},
        record_id__among={entry.record_id for entry in parts},
        change_type="UPDATE",
        source=AuditLogEntry.Source.STREAM,
    ).order_by("id")


def _joined(entries: Iterable[AuditLogEntry]) -> Save:
    """The later one wins; of compound fields, part by part."""
    fields: dict[str, None] = {}
    data: dict[str, Any] = {}
    for entry in sorted(entries, key=lambda one: one.sequence_number):
        sent = entry.changed_fields
        fields |= dict.fromkeys(entry.changed_data if sent is None else sent)
        data = overlaid(data, entry.changed_data)
    return Save(list(fields), data)
