"""One transaction: applies changes to the records, and derives their events."""

from collections.abc import Callable
from dataclasses import replace
from typing import Self

from simulator.org import deltas
from simulator.org.catalogue import Catalogue, Entity
from simulator.org.changes import (
    OVERFLOW_ID,
    Change,
    Create,
    Delete,
    Gap,
    HardDelete,
    Merge,
    Overflow,
    Undelete,
    Update,
    Wildcard,
)
from simulator.org.description import checkboxes
from simulator.org.drafts import Draft, Drafts
from simulator.org.ids import RecordIds
from simulator.org.record_store import RecordStore
from simulator.org.records import JsonObject, Record, iso
from simulator.org.relations import Relations


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
        self._drafts = Drafts(now)
        self._relations = Relations(catalogue, store)
        self._rolled_up: dict[tuple[str, str], None] = {}
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
                    self._drafts.note(
                        self._create(change.entity, fields, change.record_id), "CREATE"
                    )
            case Update():
                for record_id in change.record_ids:
                    self._update(change, record_id)
            case Delete():
                for record_id in change.record_ids:
                    self._delete_noted(change.entity, record_id, cascade=change.cascade)
            case Undelete():
                for record_id in change.record_ids:
                    self._undelete_noted(change.entity, record_id)
            case Merge():
                self._merge(change)
            case HardDelete():
                for record_id in change.record_ids:
                    self._erase(change.entity, record_id)
            case _:
                self._apply_event(change)

    def _apply_event(self, change: Change) -> None:
        """Apply a change that is published as it is, instead of being derived from records."""
        match change:
            case Gap():
                self._gap(change)
            case Overflow(entity):
                self._drafts.all.append(Draft(entity, [OVERFLOW_ID], "GAP_OVERFLOW", alone=True))
            case Wildcard(entity, change_type):
                ids = [self._catalogue.get(entity).prefix + "*"]
                self._drafts.all.append(Draft(entity, ids, change_type, alone=True))

    def drafts(self) -> list[Draft]:
        """Calculate the roll-ups, and return the events of the transaction."""
        for entity, parent_id in self._rolled_up:
            self._roll_up(self._catalogue.get(entity), parent_id)
        return self._drafts.events()

    def _delete_noted(
        self, entity: str, record_id: str, *, cascade: bool, parent_id: str = ""
    ) -> None:
        deleted = self._delete(entity, record_id)
        deleted.deleted_with = parent_id
        self._drafts.note(deleted, "DELETE")
        for child in self._relations.children(entity, record_id) if cascade else ():
            record = child.record
            is_gone = self._store.is_deleted(record.entity, record.record_id)
            if is_gone or not child.field.cascades:
                continue
            self._delete_noted(record.entity, record.record_id, cascade=True, parent_id=record_id)

    def _undelete_noted(self, entity: str, record_id: str) -> None:
        self._drafts.note(self._undelete(entity, record_id), "UNDELETE")
        for child in self._store.deleted_with(record_id):
            self._undelete_noted(child.entity, child.record_id)

    def _merge(self, change: Merge) -> None:
        entity, record_id = change.entity, change.record_id
        self._update(Update(entity, (record_id,), change.fields), record_id)
        for merged_id in change.merged_ids:
            for child in self._relations.children(entity, merged_id):
                fields, child_id = {child.field.name: record_id}, child.record.record_id
                if change.child_events:
                    self._update(Update(child.record.entity, (child_id,), fields), child_id)
                else:
                    record = self._store.get(child.record.entity, child_id)
                    self._write(record, fields, is_stamped=False)
            merged = self._delete(entity, merged_id)
            merged.master_id = record_id
            self._drafts.note(merged, "DELETE")

    def _erase(self, entity: str, record_id: str) -> None:
        record, undo = self._store.erase(entity, record_id)
        self._undo.append(undo)
        self._touch(record)

    def _touch(self, record: Record) -> None:
        """Note the parents whose roll-ups a change of this record affects."""
        for parent, parent_id in self._relations.rollups_of(record):
            self._rolled_up[parent.name, parent_id] = None

    def _roll_up(self, entity: Entity, parent_id: str) -> None:
        """Write the roll-ups of a parent that have changed, as an update of the parent."""
        if (record := self._store.rows(entity.name).get(parent_id)) is None:
            return
        values = {
            name: self._relations.rolled_up(rollup, parent_id)
            for name, rollup in entity.rollups.items()
        }
        if deltas.changed(record.fields, values):
            self._update(Update(entity.name, (parent_id,), values), parent_id)

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
            values["Name"] = kind.auto_name.format(len(self._store.rows(entity)) + 1)
        record = Record(entity, new_id, values, self._now)
        self._store.insert(record)
        self._undo.append(lambda: self._store.remove(record))
        self._store.names.setdefault(entity, set()).update(values)
        self._touch(record)
        return record

    def _write(self, record: Record, delta: JsonObject, *, is_stamped: bool = True) -> None:
        """Write the fields. SystemModstamp always changes."""
        stamp = {"LastModifiedDate": iso(self._now), "LastModifiedById": self._user}
        stamp = stamp if is_stamped else {}
        self._keep(record)
        self._touch(record)
        self._store.names.setdefault(record.entity, set()).update(delta)
        record.fields = deltas.non_empty(deltas.combined(record.fields, {**delta, **stamp}))
        record.modified_at = self._now
        self._touch(record)

    def _keep(self, record: Record) -> None:
        self._store.keep(record.entity, record.record_id)
        before = replace(record)

        def undo() -> None:
            record.fields, record.modified_at = before.fields, before.modified_at
            record.master_id, record.deleted_with = before.master_id, before.deleted_with

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
        draft = self._drafts.note(record, "UPDATE")
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
        self._touch(record)
        record.modified_at = self._now
        return record

    def _undelete(self, entity: str, record_id: str) -> Record:
        record = self._store.undelete(entity, record_id)
        self._undo.append(lambda: self._store.delete(entity, record_id))
        self._write(record, {})
        record.master_id = record.deleted_with = ""
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
        self._drafts.all.append(Draft(change.entity, record_ids, change.change_type, alone=True))
