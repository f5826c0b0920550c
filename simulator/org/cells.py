"""Single values of records, read without showing whole records: results of Bulk API are large."""

import re
from collections.abc import Callable, Iterable, Mapping

from simulator.org.catalogue import Entity
from simulator.org.description import MASTER, all_definitions
from simulator.org.records import JsonObject, Record, iso
from simulator.org.view import View

Cell = Callable[[Record, bool], object]
REST_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
PERSON_PARTS = ("FirstName", "MiddleName", "LastName")


def cells(entity: Entity, view: View, names: Iterable[str]) -> dict[str, Cell]:
    """Return a function for each field, of a record and whether it is deleted.

    The values are those of `View.row`, with times in the form of a record.
    """
    return {name: SYSTEM.get(name) or _cell(entity, view, name) for name in names}


def _cell(entity: Entity, view: View, name: str) -> Cell:
    field = all_definitions(entity).get(name)
    if field is None or name in entity.formulas:
        return lambda record, deleted: _record_time(view.row(record, "", deleted=deleted).get(name))
    if name == "Name" and entity.has_person_name:
        return lambda record, _deleted: _full_name(record.fields.get("Name"))
    if field.compound:
        compound, key = field.compound, field.key
        return lambda record, _deleted: _part(record.fields.get(compound), key)
    return lambda record, _deleted: record.fields.get(name)


def _record_time(value: object) -> object:
    """Return a time of REST in the form of a record; other values are returned unchanged."""
    if isinstance(value, str) and REST_TIME.fullmatch(value):
        return value.removesuffix("+0000") + "Z"
    return value


def _full_name(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return " ".join(part for key in PERSON_PARTS if (part := value.get(key)))


def _part(value: JsonObject | None, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


SYSTEM: Mapping[str, Cell] = {
    "Id": lambda record, _deleted: record.record_id,
    "IsDeleted": lambda _record, deleted: deleted,
    "SystemModstamp": lambda record, _deleted: iso(record.modified_at),
    MASTER: lambda record, _deleted: record.master_id or None,
}
