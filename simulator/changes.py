"""What a writer can do to records in one transaction."""

from dataclasses import dataclass, field

from simulator.records import JsonObject

OVERFLOW_ID = "000000000000000AAA"
GAP_TYPES = ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE")


@dataclass(frozen=True, slots=True)
class Create:
    """New records, one for each set of fields; `record_id` only for a single one."""

    entity: str
    records: tuple[JsonObject, ...]
    record_id: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """The same fields set on several records; None clears.

    diff_fields      long texts that travel as diffs
    separate_fields  come in an event of their own for each record, in the same transaction and
                     without LastModifiedDate, as some saves of real orgs do
    is_stamped       False: LastModifiedDate stays, and does not come, as when the org adds the
                     coordinates of an address by itself
    """

    entity: str
    record_ids: tuple[str, ...]
    fields: JsonObject
    diff_fields: tuple[str, ...] = ()
    separate_fields: tuple[str, ...] = ()
    is_stamped: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Records moved to the Recycle Bin."""

    entity: str
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undelete:
    """Records moved back from the Recycle Bin."""

    entity: str
    record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A change whose data no event carries.

    With `apply`, the change is made to the records too, so that reading them tells something new;
    `fields` are then what GAP_CREATE and GAP_UPDATE write.
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
    """A field-type conversion on a whole entity: recordIds `001*` and no fields."""

    entity: str
    change_type: str = "UPDATE"


Change = Create | Update | Delete | Undelete | Gap | Overflow | Wildcard
