"""Converts records from REST to bodies of change events, and holds the result of reading many.

The two forms differ in compound fields, times and omitted fields. Formula fields are kept although
no event carries them, because REST does not mark them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from listeners.salesforce.errors import RestRefused

Record = Mapping[str, Any]

#: Fields that are never in a change event.
_LEFT_OUT = frozenset(
    {"attributes", "Id", "IsDeleted", "SystemModstamp", "LastViewedDate", "LastReferencedDate"}
)
_PLACE = (
    *("Street", "City", "State", "PostalCode", "Country", "StateCode", "CountryCode"),
    *("Latitude", "Longitude", "GeocodeAccuracy"),
)
PLACE_IN_REST = {part[0].lower() + part[1:]: part for part in _PLACE}
PERSON = ("Salutation", "FirstName", "MiddleName", "LastName", "InformalName", "Suffix")
_REST_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
_SHORT, _LONG = 15, 18  # characters of an id without and with those that encode its capitals
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_body(record: Record, change_type: str) -> dict[str, Any]:
    """Return the body of a change event of that type with all of the record's fields.

    `change_type` is CREATE, UPDATE or UNDELETE. An update keeps nulls, because a cleared field, or
    a cleared part of a compound field, is null in its event; the other types leave nulls out.
    """
    keeps_nulls = change_type == "UPDATE"
    components: set[str] = set()
    compounds: dict[str, Any] = {}
    for name, value in record.items():
        parts = _parts_of(name, value, record)
        if parts:
            components.update(parts)
            compounds[name] = _compound(name, value, record, keeps_nulls=keeps_nulls)
    body = {
        name: compounds[name] if name in compounds else _event_time(value)
        for name, value in record.items()
        if name not in components and name not in _LEFT_OUT
    }
    if keeps_nulls:
        return body
    return {name: value for name, value in body.items() if value is not None}


def long_id(record_id: str) -> str:
    """Return a 15-character id with the three characters that encode its capitals.

    Any other text is returned unchanged.
    """
    if len(record_id) != _SHORT or not (record_id.isascii() and record_id.isalnum()):
        return record_id
    parts = (record_id[:5], record_id[5:10], record_id[10:])
    bits = (sum(1 << n for n, letter in enumerate(part) if letter.isupper()) for part in parts)
    return record_id + "".join(_CAPITALS[number] for number in bits)


def last_modified_ms(record: Record) -> int | None:
    """Return when the record was last changed, in ms since 1970; None if the entity has no date."""
    return milliseconds(record.get("LastModifiedDate")) or milliseconds(
        record.get("SystemModstamp")
    )


def milliseconds(value: object) -> int | None:
    """Return a time of a record or an event's body in ms since 1970; None if it is not a time.

    REST writes ``2024-01-01T00:00:00.000+0000``, CometD ``…Z``, and the Pub/Sub API the number.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _parts_of(name: str, value: object, record: Record) -> Iterable[str]:
    """Return the REST names of a compound field's components; none for a plain field."""
    if name == "Name" and "LastName" in record:
        return PERSON
    if not (value is None or isinstance(value, Mapping)):
        return ()
    parts = tuple(place_components(name))
    # An empty compound field is null, and recognised by its components.
    return parts if isinstance(value, Mapping) or any(part in record for part in parts) else ()


def event_paths(name: str) -> list[tuple[str, ...]]:
    """Return the places in an event where a field of a record may be: `LastName` is also
    `Name.LastName`, and `BillingCity` also `BillingAddress.City`."""
    paths: list[tuple[str, ...]] = [(name,)]
    if name in PERSON:
        paths.append(("Name", name))
    for part in _PLACE:
        if name.endswith(f"__{part}__s"):
            paths.append((f"{name.removesuffix(f'__{part}__s')}__c", part))
        elif name.endswith(part):
            paths.append((f"{name.removesuffix(part)}Address", part))
    return paths


def place_components(name: str) -> Iterable[str]:
    if name.endswith("Address"):
        return (name.removesuffix("Address") + part for part in _PLACE)
    if name.endswith("__c"):
        return (f"{name.removesuffix('c')}{part}__s" for part in _PLACE)
    return ()


def _compound(name: str, value: Any, record: Record, *, keeps_nulls: bool) -> Any:
    """Return a compound field with the event's names for its parts; None if all are empty."""
    if name == "Name":
        person = {part: record[part] for part in PERSON if part in record}
        # A business account in an org with person accounts has a plain name.
        return _parts_to_send(person, keeps_nulls=keeps_nulls) or value
    parts = {PLACE_IN_REST.get(part, part): child for part, child in (value or {}).items()}
    return _parts_to_send(parts, keeps_nulls=keeps_nulls)


def _parts_to_send(parts: Mapping[str, Any], *, keeps_nulls: bool) -> dict[str, Any] | None:
    full = {name: value for name, value in parts.items() if value is not None}
    if not full:
        return None
    return dict(parts) if keeps_nulls else full


def _event_time(value: Any) -> Any:
    if isinstance(value, str) and _REST_TIME.fullmatch(value):
        return value.removesuffix("+0000") + "Z"
    return value


@dataclass(slots=True)
class RecordsRead:
    """The result of reading records, by requested id.

    A record in neither `records` nor `refused` does not exist, or the user may not see it. All
    changes that were committed before `read_at` (ms since 1970) are included.
    """

    read_at: int
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, RestRefused] = field(default_factory=dict)


def by_id(ids: Sequence[str], rows: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the rows by requested id, in the order of `ids`."""
    found: dict[str, dict[str, Any]] = {}
    short: dict[str, dict[str, Any]] = {}
    for row in rows:
        match row:
            case {"Id": str(row_id)}:
                found[row_id] = row
                short[row_id[:_SHORT]] = row
    # The long form adds a checksum to the short one. Two different long ids are never one record.
    for requested in ids:
        other = short.get(requested[:_SHORT])
        if other and {len(requested), len(other["Id"])} == {_LONG, _SHORT}:
            found.setdefault(requested, other)
    return {requested: found[requested] for requested in ids if requested in found}
