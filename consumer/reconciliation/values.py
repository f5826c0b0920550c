"""Compare the values of a record in Salesforce with those in the audit log. Pure functions.

If the log has the whole record, every field is compared; otherwise only the fields that the log has
a value of.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from consumer.reconciliation.logged_state import LoggedState
from listeners.salesforce.rest.records import event_body, milliseconds

#: Derived fields that no change event carries, for orgs whose metadata does not say so.
DERIVED = frozenset(
    {
        *("LastActivityDate", "PhotoUrl", "IsEmailBounced", "HasOpenActivity", "HasOverdueTask"),
        *("Fiscal", "FiscalQuarter", "FiscalYear"),
    }
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(slots=True)
class Fields:
    """Names of fields that differ, and of fields that could not be compared, by reason.

    `open`: the log has a diff or no value. `unreadable`: the log has a value, but the login's user
    may not read the field. `not_carried`: calculated, derived or encrypted fields, whose values
    change events do not carry.
    """

    differing: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    not_carried: set[str] = field(default_factory=set)

    def add(self, other: Fields) -> None:
        self.differing |= other.differing
        self.open |= other.open
        self.unreadable |= other.unreadable
        self.not_carried |= other.not_carried

    def as_json(self) -> dict[str, list[str]]:
        return {name: sorted(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def of_json(cls, names: Mapping[str, Collection[str]]) -> Fields:
        return cls(**{kind: set(found) for kind, found in names.items()})


def compared(
    state: LoggedState,
    record: Mapping[str, Any],
    not_carried: Collection[str],
    *,
    claims_only: bool = False,
) -> Fields:
    """Compare the fields of one record. With `claims_only`, compare only the fields that the log
    has a value of, even if it has the whole record."""
    body = event_body(record, "UPDATE")
    whole = state.is_whole and not claims_only
    names = {*state.values, *state.open_fields, *(body if whole else ())}
    found = Fields(not_carried={name for name in names if name in not_carried})
    for name in names - found.not_carried:
        known = state.values.get(name)
        if name in state.open_fields:
            found.open.add(name)
        elif name not in body:
            if not _is_empty(known):
                found.unreadable.add(name)
        elif not _agrees(known, body[name], whole=whole):
            found.differing.add(name)
    return found


def _agrees(known: Any, actual: Any, *, whole: bool) -> bool:
    """Return whether two values agree. The parts of a compound field must agree: all parts if
    `whole`, otherwise those that the log has."""
    if isinstance(known, Mapping) and (actual is None or isinstance(actual, Mapping)):
        actual = actual or {}
        names = {*known, *actual} if whole else set(known)
        return all(_agrees(known.get(name), actual.get(name), whole=whole) for name in names)
    if _is_empty(known) or _is_empty(actual):
        return _is_empty(known) and _is_empty(actual)
    return bool(known == actual) or _is_same_moment(known, actual)


def _is_empty(value: Any) -> bool:
    """Return whether a value is empty. Events omit null values and checkboxes that are off."""
    if isinstance(value, Mapping):
        return all(_is_empty(part) for part in value.values())
    return value is None or value is False or value == ""


def _is_same_moment(known: Any, actual: Any) -> bool:
    texts = isinstance(known, str) and isinstance(actual, str)
    if not texts or not (_MOMENT.match(known) and _MOMENT.match(actual)):
        return False
    return milliseconds(known) == milliseconds(actual)
