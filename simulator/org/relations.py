"""The relations between records: parents by reference fields, their children, and roll-ups."""

from collections.abc import Iterator
from dataclasses import dataclass

from simulator.org.catalogue import Catalogue, Entity, RollUp
from simulator.org.description import MASTER, all_definitions
from simulator.org.fields import Field
from simulator.org.record_store import RecordStore
from simulator.org.records import Record


@dataclass(frozen=True, slots=True)
class Child:
    """A record, and the field in which it refers to its parent."""

    record: Record
    field: Field


class Relations:
    """Finds the parents and children of records."""

    def __init__(self, catalogue: Catalogue, store: RecordStore) -> None:
        self._catalogue = catalogue
        self._store = store

    def children(self, entity: str, record_id: str) -> list[Child]:
        """Return the live records that refer to this one."""
        return [
            Child(record, field)
            for child in self._catalogue.entities.values()
            for field in all_definitions(child).values()
            if entity in field.refers_to and field.name != MASTER
            for record in self._store.rows(child.name).referring(field.name, record_id)
        ]

    def parent(self, record: Record, relationship: str) -> Record | None:
        """Return the live parent that `Account` or `Account__r` names, or None."""
        bare = relationship.removesuffix("__r")
        field = f"{bare}__c" if bare != relationship else f"{bare}Id"
        parent_id = str(record.fields.get(field, ""))
        entity = next(
            (one for one in self._catalogue.entities.values() if parent_id.startswith(one.prefix)),
            None,
        )
        return self._store.rows(entity.name).get(parent_id) if entity else None

    def rollups_of(self, record: Record) -> Iterator[tuple[Entity, str]]:
        """Yield the parents, with their id, that have a roll-up of records like this one."""
        for parent in self._catalogue.entities.values():
            for rollup in parent.rollups.values():
                if rollup.entity == record.entity and record.fields.get(rollup.reference):
                    yield parent, str(record.fields[rollup.reference])

    def rolled_up(self, rollup: RollUp, parent_id: str) -> float:
        """Return the value of a roll-up: a count, or the sum, least or greatest of a field."""
        found = self._store.rows(rollup.entity).referring(rollup.reference, parent_id)
        if rollup.function == "count":
            return len(found)
        values = [value for one in found if (value := one.fields.get(rollup.field)) is not None]
        if rollup.function == "sum":
            return float(sum(values))
        return float({"min": min, "max": max}[rollup.function](values, default=0))
