"""A record as the REST API shows it, which is not how a change event shows it."""

from collections.abc import Iterable

from simulator.records import JsonObject, Record, iso

PERSON_NAME = ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix")
ADDRESS_PARTS = (
    *("Street", "City", "State", "PostalCode", "Country"),
    *("Latitude", "Longitude", "GeocodeAccuracy"),
)


def record_json(record: Record, version: str, *, deleted: bool = False) -> JsonObject:
    """All the record's fields."""
    shown: JsonObject = {"Id": record.record_id, "IsDeleted": deleted}
    for name, value in record.fields.items():
        shown |= _field(name, value)
    shown["SystemModstamp"] = rest_time(iso(record.modified_at))
    return {"attributes": _attributes(record, version), **shown}


def chosen_fields(shown: JsonObject, names: Iterable[str]) -> JsonObject:
    """Only these fields, null where empty, in the order asked for."""
    return {"attributes": shown["attributes"], **{name: shown.get(name) for name in names}}


def _attributes(record: Record, version: str) -> JsonObject:
    url = f"/services/data/v{version}/sobjects/{record.entity}/{record.record_id}"
    return {"type": record.entity, "url": url}


def _field(name: str, value: object) -> JsonObject:
    if name == "Name" and isinstance(value, dict):
        parts = (value.get(part) for part in ("FirstName", "MiddleName", "LastName"))
        return {
            "Name": " ".join(part for part in parts if part),
            **{part: value.get(part) for part in PERSON_NAME if part in value},
        }
    if name.endswith("Address") and isinstance(value, dict):
        kind = name.removesuffix("Address")
        whole: JsonObject = {**dict.fromkeys(ADDRESS_PARTS), **value}
        flat = {f"{kind}{part}": child for part, child in whole.items()}
        shown = {part[0].lower() + part[1:]: child for part, child in sorted(whole.items())}
        return {name: shown, **flat}
    if name.endswith("Date") and isinstance(value, str):
        return {name: rest_time(value)}
    return {name: value}


def rest_time(value: str) -> str:
    """REST writes `+0000` where events write `Z`."""
    return value.removesuffix("Z") + "+0000" if value.endswith("Z") else value
