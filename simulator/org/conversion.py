"""Changing the type of a field: its values, its schema, and the event of the conversion.

Only some conversions cause an event, and none changes the records' times of modification.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime

from simulator.org.catalogue import Entity
from simulator.org.changes import Change, Gap, Overflow, Wildcard
from simulator.org.description import all_definitions
from simulator.org.fields import Field
from simulator.org.org import Org
from simulator.org.seeded_rows import SeededRows

#: A conversion from or to these types causes an event for all records, `001*`.
TOLD = ("date", "datetime", "boolean", "multipicklist")


def convert(org: Org, entity: Entity, name: str, kind: str) -> list[Change]:
    """Convert a field, and return the changes that cause its events.

    Raises LookupError for an unknown field, ValueError for an unknown type.
    """
    if name not in all_definitions(entity):
        raise LookupError(f"{entity.name} has no field {name!r}")
    field = all_definitions(entity)[name]
    before = field.type
    org.schemas.change_type(entity.name, name, kind)
    entity.added += (Field(name, kind, field.label),)
    rows = org.store.rows(entity.name)
    if isinstance(rows, SeededRows):
        rows.seed.convert(name, lambda value: converted(value, kind))
    for records in (rows.stored(), org.store.recycle_bin.get(entity.name, {}).values()):
        for record in records:
            if name in record.fields:
                org.store.keep(entity.name, record.record_id)
                value = converted(record.fields[name], kind)
                record.fields = {
                    key: value if key == name else old
                    for key, old in record.fields.items()
                    if key != name or value is not None
                }
    if kind == "boolean":
        org.store.fill(entity.name, name, value=False)
    if before == "picklist" and kind in ("boolean", "multipicklist"):
        if len(org.records_of(entity)) > org.overflow_after:
            return [Overflow(entity.name)]
        return [Gap(entity.name, "GAP_UPDATE", tuple(org.records_of(entity)))]
    return [Wildcard(entity.name)] if before != kind and {before, kind} & {*TOLD} else []


def converted(value: object, kind: str) -> object:
    """Return a value in another type, or None if it does not fit it."""
    try:
        return CONVERSIONS.get(kind, _text)(value)
    except (TypeError, ValueError):
        return None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _datetime(value: object) -> str:
    text = str(value)
    moment = datetime.fromisoformat(text)
    return text if "T" in text else moment.strftime("%Y-%m-%dT00:00:00.000Z")


CONVERSIONS: Mapping[str, Callable[[object], object]] = {
    **dict.fromkeys(("double", "currency", "percent"), lambda value: float(_text(value))),
    "int": lambda value: int(float(_text(value))),
    "boolean": lambda value: value is True or _text(value).casefold() in ("true", "yes", "1"),
    "date": lambda value: date.fromisoformat(str(value)[:10]).isoformat(),
    "datetime": _datetime,
}
