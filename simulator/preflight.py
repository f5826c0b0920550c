"""Checking a transaction before it touches anything, so that it applies whole or not at all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.catalogue import Catalogue
from simulator.changes import Change, Create, Delete, Gap, Undelete, Update
from simulator.records import NotInRecycleBinError, RecordStore, UnknownRecordError


@dataclass(slots=True)
class Preflight:
    """Follows which records would be live or deleted as the changes go on."""

    store: RecordStore
    live: dict[tuple[str, str], bool] = field(default_factory=dict)

    def need_live(self, entity: str, record_id: str) -> None:
        """Raises UnknownRecordError unless the record would be live."""
        usual = record_id in self.store.live.get(entity, {})
        if not self.live.get((entity, record_id), usual):
            raise UnknownRecordError(f"no live {entity} has the id {record_id!r}")

    def delete(self, entity: str, record_id: str) -> None:
        """Needs a live record."""
        self.need_live(entity, record_id)
        self.live[(entity, record_id)] = False

    def undelete(self, entity: str, record_id: str) -> None:
        """Needs a deleted record."""
        usual = not self.store.is_deleted(entity, record_id)
        if self.live.get((entity, record_id), usual):
            raise NotInRecycleBinError(f"no {entity} in the Recycle Bin has the id {record_id!r}")
        self.live[(entity, record_id)] = True

    def create(self, entity: str, record_id: str) -> None:
        """An id of the caller's choice must be new."""
        used = record_id in self.store.live.get(entity, {})
        if used or self.store.is_deleted(entity, record_id):
            raise UnknownRecordError(f"the id {record_id!r} is taken")
        self.live[(entity, record_id)] = True


def check(store: RecordStore, catalogue: Catalogue, changes: Iterable[Change]) -> None:
    """Raises LookupError for the first change that cannot be applied."""
    preflight = Preflight(store)
    for change in changes:
        entity = catalogue.get(change.entity).name
        match change:
            case Create(record_id=record_id) if record_id:
                preflight.create(entity, record_id)
            case Update() | Gap(change_type="GAP_UPDATE", apply=True):
                for record_id in change.record_ids:
                    preflight.need_live(entity, record_id)
            case Delete() | Gap(change_type="GAP_DELETE", apply=True):
                for record_id in change.record_ids:
                    preflight.delete(entity, record_id)
            case Undelete() | Gap(change_type="GAP_UNDELETE", apply=True):
                for record_id in change.record_ids:
                    preflight.undelete(entity, record_id)
