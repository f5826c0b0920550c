"""The changes that a transaction can make to records, and the check whether they can be applied."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.org.catalogue import Catalogue
from simulator.org.records import JsonObject, NotInRecycleBinError, RecordStore, UnknownRecordError

OVERFLOW_ID = "000000000000000AAA"
GAP_TYPES = ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE")


@dataclass(frozen=True, slots=True)
class Create:
    """Create records, one for each set of fields; `record_id` is only for a single one."""

    entity: str
    records: tuple[JsonObject, ...]
    record_id: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """Set the same fields on several records; None clears a field.

    diff_fields      long texts that are sent as diffs
    separate_fields  sent in a separate event for each record, in the same transaction and
                     without LastModifiedDate, as some saves of real orgs do
    is_stamped       False: LastModifiedDate is neither changed nor sent, as when the org adds the
                     coordinates of an address
    """

    entity: str
    record_ids: tuple[str, ...]
    fields: JsonObject
    diff_fields: tuple[str, ...] = ()
    separate_fields: tuple[str, ...] = ()
    is_stamped: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Move records to the Recycle Bin."""

    entity: str
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undelete:
    """Restore records from the Recycle Bin."""

    entity: str
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A change whose event carries no data.

    With `apply`, the change is also made to the records, so that they can be read; GAP_CREATE and
    GAP_UPDATE then write `fields`.
    """

    entity: str
    change_type: str
    record_ids: tuple[str, ...]
    fields: JsonObject = field(default_factory=dict)
    apply: bool = False


@dataclass(frozen=True, slots=True)
class Overflow:
    """More than 100,000 changes of an entity in one transaction."""

    entity: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A field-type conversion of a whole entity: recordIds `001*` and no fields."""

    entity: str
    change_type: str = "UPDATE"


Change = Create | Update | Delete | Undelete | Gap | Overflow | Wildcard


@dataclass(slots=True)
class Preflight:
    """Tracks which records would be live or deleted after each change."""

    store: RecordStore
    live: dict[tuple[str, str], bool] = field(default_factory=dict)

    def need_live(self, entity: str, record_id: str) -> None:
        """Raise UnknownRecordError unless the record would be live."""
        usual = record_id in self.store.live.get(entity, {})
        if not self.live.get((entity, record_id), usual):
            raise UnknownRecordError(f"no live {entity} has the id {record_id!r}")

    def delete(self, entity: str, record_id: str) -> None:
        """Delete a live record."""
        self.need_live(entity, record_id)
        self.live[(entity, record_id)] = False

    def undelete(self, entity: str, record_id: str) -> None:
        """Restore a deleted record."""
        usual = not self.store.is_deleted(entity, record_id)
        if self.live.get((entity, record_id), usual):
            raise NotInRecycleBinError(f"no {entity} in the Recycle Bin has the id {record_id!r}")
        self.live[(entity, record_id)] = True

    def create(self, entity: str, record_id: str) -> None:
        """Create a record; a chosen id must be new."""
        used = record_id in self.store.live.get(entity, {})
        if used or self.store.is_deleted(entity, record_id):
            raise UnknownRecordError(f"the id {record_id!r} is taken")
        self.live[(entity, record_id)] = True


def check(store: RecordStore, catalogue: Catalogue, changes: Iterable[Change]) -> None:
    """Raise LookupError for the first change that cannot be applied."""
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
