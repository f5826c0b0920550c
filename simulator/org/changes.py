"""The changes that a transaction can make to records."""

from dataclasses import dataclass, field

from simulator.org.records import JsonObject

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
    """Move records to the Recycle Bin; with `cascade` the records that refer to them too."""

    entity: str
    record_ids: tuple[str, ...]
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Undelete:
    """Restore records from the Recycle Bin, and the children that were deleted with them."""

    entity: str
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge records into one, which gets `fields`; their children refer to it from then on.

    With `child_events`, the children's new reference is published. Otherwise it is written without
    an event and without LastModifiedDate.
    """

    entity: str
    record_id: str
    merged_ids: tuple[str, ...]
    fields: JsonObject = field(default_factory=dict)
    child_events: bool = False


@dataclass(frozen=True, slots=True)
class HardDelete:
    """Remove live records, or records in the Recycle Bin, permanently and without an event."""

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


Change = Create | Update | Delete | Undelete | Merge | HardDelete | Gap | Overflow | Wildcard
