"""Compare the values of a record as Salesforce has them with those that the audit log knows. Pure.

Of a record that the log knows whole every field is compared; of any other one the fields that the
log has a value of.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from consumer.reconciliation.logged_state import LoggedState
from listeners.salesforce.rest.records import event_body, milliseconds

#: Fields that Salesforce derives, and that no change event carries, for orgs that do not say so.
DERIVED = frozenset(
    {
        *("LastActivityDate", "PhotoUrl", "IsEmailBounced", "HasOpenActivity", "HasOverdueTask"),
        *("Fiscal", "FiscalQuarter", "FiscalYear"),
    }
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(slots=True)
class Fields:
    """Names of fields: those that differ, and those that could not be compared, by the reason.

    `open`: the log has a diff, or no value. `unreadable`: the log has a value, and the login's user
    may not read the field. `not_carried`: calculated, derived or encrypted, so that change
    events do not tell their values.
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
    """Compare the fields of one record. With `claims_only`, those that the log has a value of, even
    where it knows the record whole."""
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
    """A compound field agrees in all of its parts, or in those that are known."""
    if isinstance(known, Mapping) and (actual is None or isinstance(actual, Mapping)):
        actual = actual or {}
        names = {*known, *actual} if whole else set(known)
        return all(_agrees(known.get(one), actual.get(one), whole=whole) for one in names)
    if _is_empty(known) or _is_empty(actual):
        return _is_empty(known) and _is_empty(actual)
    return bool(known == actual) or _is_same_moment(known, actual)


def _is_empty(value: Any) -> bool:
    """Salesforce leaves out of an event what is null; a checkbox that is not ticked, as well."""
    if isinstance(value, Mapping):
        return all(_is_empty(part) for part in value.values())
    return value is None or value is False or value == ""


def _is_same_moment(known: Any, actual: Any) -> bool:
    texts = isinstance(known, str) and isinstance(actual, str)
    if not texts or not (_MOMENT.match(known) and _MOMENT.match(actual)):
        return False
    return milliseconds(known) == milliseconds(actual)
