"""Compound fields: names of persons, addresses and geolocations as their components.

The REST API has both `BillingAddress` and `BillingCity`; an event has `BillingAddress: {City}` with
the components that changed. A mirrored model has columns for the components alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from listeners.salesforce.rest.records import PERSON, PLACE_IN_REST, place_components

_IN_NAME = ("FirstName", "MiddleName", "LastName")


def flat(
    names: Collection[str], record: Mapping[str, Any], name: str, value: Any, *, is_whole: bool
) -> Iterator[tuple[str, Any]]:
    """Yield a field of a record as it is, or the components of a compound one.

    `names` are those of the object's fields. An address of the REST API can have parts that are no
    fields of the object, such as its country's code: they are left out, since no query has them.
    """
    if isinstance(value, Mapping):
        if name == "Name":
            yield from _person(value, is_whole=is_whole)
            return
        if "attributes" in value:  # a record that the reference beside points to
            return
    elif value is not None:
        yield name, value
        return
    components = {part for part in place_components(name) if part in names}
    if not components:
        yield name, value
        return
    parts = dict.fromkeys(components) if value is None else _named(name, value)
    yield from (
        (part, child) for part, child in parts.items() if part in components and part not in record
    )


def person_name(parts: Mapping[str, Any]) -> str | None:
    """Return the whole name for its parts; None if only Salesforce knows it.

    The order of the parts depends on the user's locale only where there are other parts than
    these.
    """
    if not parts.get("LastName") or parts.get("Suffix"):
        return None
    return " ".join(str(parts[part]) for part in _IN_NAME if parts.get(part))


def _person(parts: Mapping[str, Any], *, is_whole: bool) -> Iterator[tuple[str, Any]]:
    yield from ((part, value) for part, value in parts.items() if part in PERSON)
    name = person_name(parts)
    if is_whole and name is not None:
        yield "Name", name


def _named(name: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an address or a geolocation by their fields' names."""
    fields = dict(zip(PLACE_IN_REST.values(), place_components(name), strict=True))
    return {
        fields[event_name]: value
        for part, value in parts.items()
        if (event_name := PLACE_IN_REST.get(part, part)) in fields
    }
