"""Decodes the bitmaps in a change event's header, and restores the nulls of fields that they name.

They list fields by position in the schema: ``0xHEX`` fields of the record, ``POS-0xHEX`` children
of the compound field at position POS. Bit i, from the least significant, is field i.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from listeners.salesforce.pubsub.values import HEADER, Field

_TOP = re.compile(r"0x([0-9a-f]+)", re.ASCII | re.IGNORECASE)
_CHILDREN = re.compile(r"([0-9]{1,9})-0x([0-9a-f]+)", re.ASCII | re.IGNORECASE)
_MEANT_AS_BITS = re.compile(r"0x|[0-9]*-", re.ASCII | re.IGNORECASE)


#: Named fields → their named children; empty: the field itself.
Places = Mapping[str, frozenset[str]]


class BitmapFlaw(ValueError):
    """A bitmap does not fit the schema; the message has the bitmap and the reason."""


@dataclass(frozen=True, slots=True)
class Named:
    """The fields that a list of bitmaps names."""

    names: tuple[str, ...]  # such as Name.FirstName, in the order of the schema
    places: Places

    def __or__(self, other: Named) -> Places:
        """Return the union of the places."""
        if not other.places:
            return self.places
        both = dict(self.places)
        for name, children in other.places.items():
            both[name] = both.get(name, frozenset()) | children
        return both


def named(elements: Sequence[str], fields: Sequence[Field]) -> Named:
    """Return the fields that ``elements`` name.

    An element that is not a bitmap is a field name; names that are not in the schema come last.
    Raises BitmapFlaw.
    """
    top = 0
    within = [0] * len(fields)
    others: list[str] = []
    for element in elements:
        if bits := _TOP.fullmatch(element):
            top |= _fitting(int(bits[1], 16), fields, element, "the record")
        elif bits := _CHILDREN.fullmatch(element):
            place = int(bits[1])
            children = _children(place, int(bits[2], 16), fields, element)
            within[place] |= children
        elif _MEANT_AS_BITS.match(element):
            _refuse(element, "is not a valid bitmap")
        else:
            others.append(element)
    positions = _positions(fields) if others else {}
    for other in others:
        match positions.get(other):
            case place, None:
                top |= 1 << place
            case place, int(child):
                within[place] |= 1 << child
    names, places = _spelt(top, within, fields)
    unknown = (name for name in dict.fromkeys(others) if name not in positions)
    return Named((*names, *unknown), places)


def _positions(fields: Sequence[Field]) -> dict[str, tuple[int, int | None]]:
    """Return the position of each field, and for a child also its position in the field."""
    positions: dict[str, tuple[int, int | None]] = {}
    for place, field in enumerate(fields):
        positions[field.name] = place, None
        for child_place, child in enumerate(field.children):
            positions[f"{field.name}.{child.name}"] = place, child_place
    return positions


def is_whole(record: Mapping[str, Any], explicit: Places) -> bool:
    """Return whether the record has all named fields, so that no null must be added."""
    for name, children in explicit.items():
        if name not in record:
            return False
        if children and not (isinstance(record[name], dict) and children <= record[name].keys()):
            return False
    return True


def with_nulls(
    record: Mapping[str, Any], fields: Sequence[Field], explicit: Places
) -> dict[str, Any]:
    """Return the record in the schema's order, with null for named fields that are missing."""
    filled = {HEADER: record[HEADER]}
    for field in fields:
        name = field.name
        children = explicit.get(name)
        if name == HEADER:
            continue
        if name not in record:
            if children is not None:
                filled[name] = _filled(field, {}, children) or None
        elif children and field.children and isinstance(record[name], dict):
            filled[name] = _filled(field, record[name], children)
        else:
            filled[name] = record[name]
    return filled


def _filled(field: Field, value: Mapping[str, Any], named: frozenset[str]) -> dict[str, Any]:
    names = (child.name for child in field.children)
    return {name: value.get(name) for name in names if name in value or name in named}


def _spelt(
    top: int, within: Sequence[int], fields: Sequence[Field]
) -> tuple[list[str], dict[str, frozenset[str]]]:
    names: list[str] = []
    places: dict[str, frozenset[str]] = {}
    for index, field in enumerate(fields):
        if top >> index & 1:
            names.append(field.name)
            places[field.name] = frozenset()
        if bits := within[index]:
            chosen = [child.name for place, child in enumerate(field.children) if bits >> place & 1]
            names += (f"{field.name}.{child}" for child in chosen)
            places[field.name] = frozenset(chosen)
    return names, places


def _children(place: int, bits: int, fields: Sequence[Field], element: str) -> int:
    if place >= len(fields):
        _refuse(element, f"names the field at {place}, but the record has {len(fields)} fields")
    field = fields[place]
    if not field.children:
        _refuse(element, f"names children of {field.name}, which has none")
    return _fitting(bits, field.children, element, field.name)


def _fitting(bits: int, fields: Sequence[Field], element: str, of: str) -> int:
    if bits >> len(fields):
        _refuse(element, f"names bit {bits.bit_length() - 1}, but {of} has {len(fields)} fields")
    return bits


def _refuse(element: str, why: str) -> NoReturn:
    raise BitmapFlaw(f"{element if len(element) <= 80 else f'{element[:80]}…'} {why}")
