"""The recorded changes of records, and how far their deliveries have come for one target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from audit.db.prepared import Param, Prepared
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.routing.router import views, with_target
from handlers.superseded.timeline import Timeline

State = Delivery.State
_NOT_PUBLISHED_OR_BEGUN = (State.BLOCKED, State.READY, State.QUEUED)
#: The columns of a `Row`.
_COLUMNS = ("pk", "entry_id", "mapping_id", "handler", "state", "attempts")
#: Changes committed up to so many milliseconds before an entry that was read over REST are loaded:
#: they may come after it on the timeline.
_MARGIN = 60_000
_OVERFLOW = "000000000000000AAA"
_NEEDED = (
    *("listener_id", "entity_name", "record_id", "change_type", "transaction_key", "source"),
    *("sequence_number", "commit_timestamp", "changed_data", "changed_fields", "nulled_fields"),
    *("as_of", "read_at", "received_at", "commit_number"),
)
#: An entity and a record.
Key = tuple[str, str]
#: The listener is compared as a range, and the entity is left out: for an equality SQLite would use
#: the index of the listener or the entity and read all of its entries.
_LATER = Prepared(
    lambda: (
        AuditLogEntry.objects.filter(
            Q(deliveries__attempts__gt=0) | Q(deliveries__is_external=True),
            listener_id__gte=Param("listener_id"),
            listener_id__lte=Param("listener_id"),
            record_id__among=Param("record_ids"),
            id__gt=Param("entry_id"),
        )
        .order_by()
        .values_list("record_id", *(f"deliveries__{name}" for name in _COLUMNS))
    )
)


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a delivery that tell its progress."""

    pk: int
    entry_id: int
    mapping_id: int
    handler: str
    state: str
    attempts: int


@dataclass(frozen=True, slots=True)
class History:
    """The changes of a record, and their deliveries."""

    timeline: Timeline
    rows: list[Row] = field(default_factory=list)


def later_rows(listener_id: int, deliveries: Sequence[Delivery]) -> Mapping[str, list[Row]]:
    """Return the deliveries, by record, that belong to entries after the first of `deliveries` and
    may have begun. One query. `deliveries` belong to entries of the stream."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    rows = _LATER.rows(
        listener_id=listener_id,
        record_ids=list({delivery.entry.record_id for delivery in deliveries}),
        entry_id=min(delivery.entry_id for delivery in deliveries),
    )
    for record_id, *columns in rows:
        found[record_id].append(Row(*columns))
    return found


def histories(listener_id: int, deliveries: Sequence[Delivery]) -> dict[Key, History]:
    """Return the histories of the deliveries' records, from their oldest entry on. Two queries."""
    keys = {key_of(delivery.entry) for delivery in deliveries}
    entries = _entries(listener_id, keys, [delivery.entry for delivery in deliveries])
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
            Timeline(
                [*by_key[key], *(entry for entry in shared[key[0]] if _is_about(entry, key[1]))]
            ),
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
    # A change from quarantine was recorded after later ones.
    later |= Q(received_at__gte=min(entry.received_at for entry in oldest))
    if compared := [entry for entry in oldest if entry.source != AuditLogEntry.Source.STREAM]:
        first = min(entry.commit_timestamp for entry in compared)
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
    for columns in Delivery.objects.filter(entry__among=ids).order_by().values_list(*_COLUMNS):
        found[columns[1]].append(Row(*columns))
    return found


def _wildcard(record_id: str) -> str:
    return f"{record_id[:3]}*"


def _is_about(entry: AuditLogEntry, record_id: str) -> bool:
    return entry.record_id in (_wildcard(record_id), _OVERFLOW)


@dataclass(frozen=True, slots=True)
class Turns:
    """The order of deliveries that are about to run, one after the other, by id.

    Their `attempts` include the attempt that is about to run, except for external tasks that are
    not tracked.
    """

    order: Mapping[int, int]

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> Turns:
        return cls({delivery.pk: place for place, delivery in enumerate(deliveries)})

    def has_begun(self, row: Row, current: Delivery) -> bool:
        """Return whether an attempt of a delivery has begun by the time `current` runs."""
        if row.pk in self.order:
            is_earlier = self.order[row.pk] < self.order[current.pk]
            return is_earlier or row.attempts > 1
        return row.attempts > 0 or row.state == State.SENT

    def awaits_first_attempt(self, row: Row, current: Delivery) -> bool:
        if row.pk in self.order:
            return not self.has_begun(row, current)
        return row.attempts == 0 and row.state in _NOT_PUBLISHED_OR_BEGUN


class Views:
    """The views of a listener's mappings, given with the deleted ones."""

    def __init__(self, mappings: Iterable[HandlerMapping]) -> None:
        self._mappings = {mapping.pk: mapping for mapping in mappings}
        self._present = [one for one in self._mappings.values() if not one.is_deleted]
        self._views = views(self._present)

    def others(self, delivery: Delivery, rows: Iterable[Row]) -> list[Row]:
        """Return the other rows in a delivery's view.

        Deliveries of a mapping that was deleted, or that has lost its handler or task, belong to
        the views of mappings with the same handler, or the same task at the same destination.
        """
        ids = self._views.get(delivery.mapping_id) or self._view_of_lost(delivery)
        targets = {self._target(pk) for pk in ids}
        if delivery.mapping_id in self._mappings:
            targets.add(self._target(delivery.mapping_id, delivery.handler))
        return [
            row
            for row in rows
            if row.pk != delivery.pk
            and (
                row.mapping_id in ids
                or (
                    self._is_lost(row.mapping_id)
                    and self._target(row.mapping_id, row.handler) in targets
                )
            )
        ]

    def _view_of_lost(self, delivery: Delivery) -> frozenset[int]:
        """Return the view of a mapping that has lost its handler or task, as if it still had the
        one of this delivery."""
        mapping = self._mappings.get(delivery.mapping_id)
        if mapping is None:
            return frozenset()
        former = with_target(mapping, delivery.handler, is_external=delivery.is_external)
        others = [one for one in self._present if one.pk != mapping.pk]
        return views([former, *others])[mapping.pk]

    def _is_lost(self, mapping_id: int) -> bool:
        mapping = self._mappings.get(mapping_id)
        return mapping is not None and not (mapping.handler or mapping.task)

    def _target(self, mapping_id: int, name: str = "") -> tuple[int | None, str]:
        """Return the destination and name; `name` is that of a mapping that has lost it."""
        mapping = self._mappings[mapping_id]
        return mapping.destination_id, name or mapping.handler or mapping.task


def progress(
    delivery: Delivery, others: Iterable[Row], turns: Turns, timeline: Timeline
) -> tuple[bool, int | None]:
    """Return whether a later change has begun in the delivery's view, and where later changes begin
    that will arrive in order.

    The latter is the index on the timeline of the first change after all that have begun; None if
    there is no such change.
    """
    own = timeline.index(delivery.entry_id)
    if own is None:
        raise ValueError(f"entry {delivery.entry_id} is missing from the timeline of its record")
    last, waiting = own, []
    for row in others:
        index = timeline.index(row.entry_id)
        if index is None or index <= own:
            continue
        if turns.has_begun(row, delivery):
            last = max(last, index)
        elif turns.awaits_first_attempt(row, delivery):
            waiting.append(index)
    return last > own, min((index for index in waiting if index > last), default=None)
