"""Records in the form of the REST API: compound fields are flat."""

from collections.abc import Iterable

from simulator.org.description import MASTER
from simulator.org.records import JsonObject, Record, iso
from simulator.org.standard_fields import ADDRESS_PARTS, LOCATION_PARTS, PERSON_NAME, part_name


def record_json(record: Record, version: str, *, deleted: bool = False) -> JsonObject:
    """Return all fields of the record."""
    shown: JsonObject = {"Id": record.record_id, "IsDeleted": deleted}
    for name, value in record.fields.items():
        shown |= _shown(name, value)
    if record.master_id:
        shown[MASTER] = record.master_id
    shown["SystemModstamp"] = rest_time(iso(record.modified_at))
    url = f"/services/data/v{version}/sobjects/{record.entity}/{record.record_id}"
    return {"attributes": {"type": record.entity, "url": url}, **shown}


def chosen_fields(shown: JsonObject, names: Iterable[str]) -> JsonObject:
    """Return only these fields, in this order, null if empty."""
    return {"attributes": shown["attributes"], **{name: shown.get(name) for name in names}}


def _shown(name: str, value: object) -> JsonObject:
    if name == "Name" and isinstance(value, dict):
        parts = (value.get(part) for part in ("FirstName", "MiddleName", "LastName"))
        return {
            "Name": " ".join(part for part in parts if part),
            **{part: value.get(part) for part in PERSON_NAME if part in value},
        }
    if isinstance(value, dict):
        return _compound(name, value)
    if isinstance(value, str) and value.endswith("Z") and is_moment(value):
        return {name: rest_time(value)}
    return {name: value}


def _compound(name: str, value: JsonObject) -> JsonObject:
    """Return an address or a geolocation, and its parts. The codes of a state and a country are
    fields only in orgs with lists of them, which this one is not."""
    is_place = value.keys() <= set(LOCATION_PARTS) and not name.endswith("Address")
    parts = LOCATION_PARTS if is_place else ADDRESS_PARTS
    whole: JsonObject = {**dict.fromkeys(parts), **value}
    flat = {part_name(name, part): whole[part] for part in parts}
    shown = {part[0].lower() + part[1:]: child for part, child in sorted(whole.items())}
    return {name: shown, **flat}


def is_moment(text: str) -> bool:
    """Return whether a text is a date and time, as records store it."""
    return len(text) == len("2026-01-31T12:00:00.000Z") and text[10] == "T"


def rest_time(value: str) -> str:
    """Return the time in REST's form, with `+0000` instead of `Z`."""
    return value.removesuffix("Z") + "+0000" if value.endswith("Z") else value
