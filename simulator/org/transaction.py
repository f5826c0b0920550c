"""One transaction: applies changes to the records, and derives their events."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from simulator.org import deltas
from simulator.org.catalogue import Catalogue
from simulator.org.changes import (
    OVERFLOW_ID,
    Change,
    Create,
    Delete,
    Gap,
    HardDelete,
    Overflow,
    Undelete,
    Update,
    Wildcard,
)
from simulator.org.description import checkboxes
from simulator.org.ids import RecordIds
from simulator.org.records import JsonObject, Record, RecordStore, iso

WITH_ALL_FIELDS = ("CREATE", "UNDELETE")
#: Texts shorter than this are never sent as diffs.
LEAST_DIFFED = 1_000


@dataclass(slots=True)
class Draft:
    """An event without a replay id."""

    entity: str
    record_ids: list[str]
    change_type: str
    fields: JsonObject = field(default_factory=dict)
    diffs: JsonObject = field(default_factory=dict)
    alone: bool = False
    record: Record | None = None
    texts_before: dict[str, str] = field(default_factory=dict)
    separate: set[str] = field(default_factory=set)
    is_stamped: bool = False

    def sameness(self) -> str:
        """Return a key that is equal for the same change on several records."""
        body = json.dumps([self.entity, self.change_type, self.fields, self.diffs], sort_keys=True)
        return f"{self.record_ids[0]} {body}" if self.alone else body


class Transaction:
    """A transaction, used once: apply the changes in order, then take the `drafts`.

    An exception inside its `with` block undoes the changes.
    """

    def __init__(
        self, store: RecordStore, catalogue: Catalogue, ids: RecordIds, *, now: int, user: str
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._ids = ids
        self._now = now
        self._user = user
        self._drafts: list[Draft] = []
        self._by_record: dict[tuple[str, str], Draft] = {}
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        while kind and self._undo:
            self._undo.pop()()

    def apply(self, change: Change) -> None:
        """Apply one change. Raises LookupError if it names an unknown entity or record."""
        self._catalogue.get(change.entity)
        match change:
            case Create():
                for fields in change.records:
                    self._note(self._create(change.entity, fields, change.record_id), "CREATE")
            case Update():
                for record_id in change.record_ids:
                    self._update(change, record_id)
            case Delete():
                for record_id in change.record_ids:
                    self._note(self._delete(change.entity, record_id), "DELETE")
            case Undelete():
                for record_id in change.record_ids:
                    self._note(self._undelete(change.entity, record_id), "UNDELETE")
            case HardDelete():
                for record_id in change.record_ids:
                    self._undo.append(self._store.erase(change.entity, record_id))
            case _:
                self._apply_event(change)

    def _apply_event(self, change: Change) -> None:
        """Apply a change that is published as it is, instead of being derived from records."""
        match change:
            case Gap():
                self._gap(change)
            case Overflow(entity):
                self._drafts.append(Draft(entity, [OVERFLOW_ID], "GAP_OVERFLOW", alone=True))
            case Wildcard(entity, change_type):
                ids = [self._catalogue.get(entity).prefix + "*"]
                self._drafts.append(Draft(entity, ids, change_type, alone=True))

    def drafts(self) -> list[Draft]:
        """Return the events of the transaction: one for the same change on N records, then those of
        fields that are sent separately."""
        separate = [own for draft in self._drafts for own in self._completed(draft)]
        if len(self._drafts) == 1:
            return [*self._drafts, *separate]
        grouped: dict[str, Draft] = {}
        for draft in self._drafts:
            first = grouped.setdefault(draft.sameness(), draft)
            if first is not draft:
                first.record_ids.extend(draft.record_ids)
        return [*grouped.values(), *separate]

    def _completed(self, draft: Draft) -> list[Draft]:
        """Complete the fields of a draft, and return the event of its separate fields."""
        if draft.record and draft.change_type in WITH_ALL_FIELDS:
            draft.fields = deltas.non_empty(draft.record.fields)
        if draft.change_type != "UPDATE" or draft.alone:
            return []
        for name, before in draft.texts_before.items():
            after = draft.fields.get(name)
            if isinstance(after, str) and min(len(before), len(after)) >= LEAST_DIFFED:
                draft.diffs[name] = deltas.unified_diff(before, after)
        draft.fields, own = deltas.divided(draft.fields, draft.separate)
        if draft.is_stamped:
            draft.fields["LastModifiedDate"] = iso(self._now)
        if not own:
            return []
        draft.diffs, diffs = deltas.divided(draft.diffs, draft.separate)
        return [Draft(draft.entity, list(draft.record_ids), "UPDATE", own, diffs, alone=True)]

    def _create(self, entity: str, fields: JsonObject, record_id: str = "") -> Record:
        kind = self._catalogue.get(entity)
        stamp = {
            "OwnerId": self._user,
            "CreatedDate": iso(self._now),
            "CreatedById": self._user,
            "LastModifiedDate": iso(self._now),
            "LastModifiedById": self._user,
        }
        new_id = record_id or self._ids.next(kind.prefix)
        unset = dict.fromkeys(checkboxes(kind), False)
        values = {**stamp, **unset, **deltas.non_empty(fields)}
        if kind.auto_name and "Name" not in values:
            values["Name"] = kind.auto_name.format(len(self._store.live.get(entity, {})) + 1)
        record = Record(entity, new_id, values, self._now)
        self._store.insert(record)
        self._undo.append(lambda: self._store.remove(record))
        return record

    def _write(self, record: Record, delta: JsonObject, *, is_stamped: bool = True) -> None:
        """Write the fields. SystemModstamp always changes."""
        stamp = {"LastModifiedDate": iso(self._now), "LastModifiedById": self._user}
        stamp = stamp if is_stamped else {}
        self._keep(record)
        record.fields = deltas.non_empty(deltas.combined(record.fields, {**delta, **stamp}))
        record.modified_at = self._now

    def _keep(self, record: Record) -> None:
        self._store.keep(record.entity, record.record_id)
        fields, modified_at = record.fields, record.modified_at

        def undo() -> None:
            record.fields, record.modified_at = fields, modified_at

        self._undo.append(undo)

    def _update(self, change: Update, record_id: str) -> None:
        record = self._store.get(change.entity, record_id)
        delta = deltas.changed(record.fields, change.fields)
        if change.is_stamped and record.fields["LastModifiedById"] != self._user:
            delta["LastModifiedById"] = self._user
        texts = {
            name: record.fields[name]
            for name in change.diff_fields
            if name in delta and isinstance(record.fields.get(name), str)
        }
        self._write(record, delta, is_stamped=change.is_stamped)
        draft = self._note(record, "UPDATE")
        if draft.change_type == "UPDATE":
            draft.fields = deltas.combined(draft.fields, delta)
            draft.texts_before = {**texts, **draft.texts_before}
            draft.separate.update(change.separate_fields)
            draft.is_stamped |= change.is_stamped

    def _delete(self, entity: str, record_id: str) -> Record:
        """Delete the record. SystemModstamp has the time of deletion, which queryAll uses."""
        record = self._store.delete(entity, record_id)
        self._undo.append(lambda: self._store.undelete(entity, record_id))
        self._keep(record)
        record.modified_at = self._now
        return record

    def _undelete(self, entity: str, record_id: str) -> Record:
        record = self._store.undelete(entity, record_id)
        self._undo.append(lambda: self._store.delete(entity, record_id))
        self._write(record, {})
        return record

    def _gap(self, change: Gap) -> None:
        record_ids = list(change.record_ids)
        if change.apply and change.change_type == "GAP_CREATE":
            record_ids = [self._create(change.entity, change.fields).record_id]
        for record_id in change.record_ids if change.apply else ():
            match change.change_type:
                case "GAP_UPDATE":
                    record = self._store.get(change.entity, record_id)
                    self._write(record, deltas.changed(record.fields, change.fields))
                case "GAP_DELETE":
                    self._delete(change.entity, record_id)
                case "GAP_UNDELETE":
                    self._undelete(change.entity, record_id)
        self._drafts.append(Draft(change.entity, record_ids, change.change_type, alone=True))

    def _note(self, record: Record, change_type: str) -> Draft:
        """Return the draft of a record; several writes give the first type and the final data."""
        key = (record.entity, record.record_id)
        draft = self._by_record.get(key)
        if draft is None:
            draft = Draft(record.entity, [record.record_id], change_type, record=record)
            self._by_record[key] = draft
            self._drafts.append(draft)
        return draft
