"""The recorded changes of records, and their deliveries, as far as they may have overtaken some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from audit.db.prepared import Given, Prepared
from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.superseded.timeline import Timeline
from handlers.superseded.views import COLUMNS, Row

#: What an entry that was read over REST comes after may be committed so much later, in ms.
_MARGIN = 60_000
_OVERFLOW = "000000000000000AAA"
_NEEDED = (
    *("listener_id", "entity_name", "record_id", "change_type", "transaction_key", "source"),
    *("sequence_number", "commit_timestamp", "changed_data", "changed_fields", "nulled_fields"),
    *("as_of", "read_at"),
)
#: An entity and a record.
Key = tuple[str, str]

#: Beside records, a listener is asked for as a range, and no entity: for an equality SQLite takes
#: the index of the listener or the entity, and reads all of its entries.
_LATER = Prepared(
    lambda: (
        AuditLogEntry.objects.filter(
            Q(deliveries__attempts__gt=0) | Q(deliveries__is_external=True),
            listener_id__gte=Given("listener_id"),
            listener_id__lte=Given("listener_id"),
            record_id__among=Given("record_ids"),
            id__gt=Given("entry_id"),
        )
        .order_by()
        .values_list(
            "record_id",
            *(f"deliveries__{name}" for name in COLUMNS),
        )
    )
)


@dataclass(frozen=True, slots=True)
class History:
    """A record's changes, and the deliveries of them."""

    timeline: Timeline
    rows: list[Row] = field(default_factory=list)


def later_rows(listener_id: int, deliveries: Sequence[Delivery]) -> Mapping[str, list[Row]]:
    """By record, the deliveries of later entries than the first of these, which are of the stream,
    that may have begun. One query."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    rows = _LATER.rows(
        listener_id=listener_id,
        record_ids=list({one.entry.record_id for one in deliveries}),
        entry_id=min(one.entry_id for one in deliveries),
    )
    for record_id, *columns in rows:
        found[record_id].append(Row(*columns))
    return found


def histories(listener_id: int, deliveries: Sequence[Delivery]) -> dict[Key, History]:
    """Of the records of these deliveries, from the oldest of their entries on. Two queries."""
    keys = {key_of(one.entry) for one in deliveries}
    entries = _entries(listener_id, keys, [one.entry for one in deliveries])
    rows = _rows(entries)
    by_key: defaultdict[Key, list[AuditLogEntry]] = defaultdict(list)
    shared: defaultdict[str, list[AuditLogEntry]] = defaultdict(list)
    for entry in entries:
        if key_of(entry) in keys:
            by_key[key_of(entry)].append(entry)
        else:
            shared[entry.entity_name].append(entry)
    return {
        key: History(
            Timeline([*by_key[key], *(one for one in shared[key[0]] if _is_about(one, key[1]))]),
            [row for entry in by_key[key] for row in rows[entry.pk]],
        )
        for key in keys
    }


def key_of(entry: AuditLogEntry) -> Key:
    return entry.entity_name, entry.record_id


def _entries(
    listener_id: int, keys: Collection[Key], oldest: Sequence[AuditLogEntry]
) -> list[AuditLogEntry]:
    record_ids = {record_id for _, record_id in keys}
    others = {_wildcard(record_id) for record_id in record_ids} | {_OVERFLOW}
    later = Q(pk__gte=min(entry.pk for entry in oldest)) | AuditLogEntry.FOUND_OUT
    if compared := [one for one in oldest if one.source != AuditLogEntry.Source.STREAM]:
        first = min(one.commit_timestamp for one in compared)
        later |= Q(commit_timestamp__gte=first - _MARGIN)
    found = AuditLogEntry.objects.filter(
        later,
        listener_id__gte=listener_id,
        listener_id__lte=listener_id,
        record_id__among=list(record_ids | others),
    )
    return list(found.order_by("id").only(*_NEEDED))


def _rows(entries: Iterable[AuditLogEntry]) -> Mapping[int, list[Row]]:
    ids = [entry.pk for entry in entries]
    found: defaultdict[int, list[Row]] = defaultdict(list)
    for columns in Delivery.objects.filter(entry__among=ids).order_by().values_list(*COLUMNS):
        found[columns[1]].append(Row(*columns))
    return found


def _wildcard(record_id: str) -> str:
    return f"{record_id[:3]}*"


def _is_about(entry: AuditLogEntry, record_id: str) -> bool:
    return entry.record_id in (_wildcard(record_id), _OVERFLOW)
