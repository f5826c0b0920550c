"""Decide by times and values whether the audit log has each record of a comparison.

If the log has the whole record, every field is compared; otherwise only the fields that the log has
a value of.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from audit.models import Reconciliation
from consumer.reconciliation.evidence import Rule, incomplete
from consumer.reconciliation.logged_state import LoggedState, logged_states
from consumer.reconciliation.salesforce_rows import ON_ITS_WAY, SECOND, Row
from consumer.reconciliation.schedule import MARGIN
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import RecordsRead, event_body, milliseconds

Reason = Reconciliation.Reason

#: Derived fields that no change event carries, for orgs whose metadata does not say so.
DERIVED = frozenset(
    {
        *("LastActivityDate", "PhotoUrl", "IsEmailBounced", "HasOpenActivity", "HasOverdueTask"),
        *("Fiscal", "FiscalQuarter", "FiscalYear"),
    }
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Verdict(Enum):
    """Whether the audit log has a record.

    COMPLETE: the log has the whole record with Salesforce's values, or has its deletion. IN_PART:
    the log has the newest change, but does not reach back to the creation or to a read of the whole
    record; the fields that it has agree with Salesforce. MISSING: neither.
    """

    COMPLETE = auto()
    IN_PART = auto()
    MISSING = auto()


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


@dataclass(slots=True)
class Judgement:
    """The verdicts by record id, the last change of each record when it was read (in ms), and the
    fields that differed or could not be compared."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)
    fields: Fields = field(default_factory=Fields)

    def missing(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if self.verdicts.get(row.record_id) is Verdict.MISSING]

    def update(self, later: Judgement) -> None:
        self.verdicts |= later.verdicts
        self.stamps |= later.stamps
        self.fields.add(later.fields)


@dataclass(slots=True)
class Judge:
    """Judges the records of one entity for one comparison."""

    job: Reconciliation
    entity: str
    rule: Rule
    rest: RestClient
    _not_carried: Collection[str] | None = None

    @property
    def not_carried(self) -> Collection[str]:
        """Fields that no change event carries; read from Salesforce at first use. Raises what
        RestClient raises."""
        if self._not_carried is None:
            self._not_carried = DERIVED | self.rest.uncarried_fields(self.entity)
        return self._not_carried

    def judge(self, rows: Sequence[Row], read: RecordsRead) -> Judgement:
        """Judge the rows by the records that were read. Raises what RestClient raises."""
        found = incomplete(self.job.listener, self.entity, rows, self.rule)
        unaccounted = {row.record_id for row in found}
        existing = [row.record_id for row in rows if row.record_id in read.records]
        if existing:
            # Read it from Salesforce now: `fill` judges again with the position locked.
            _ = self.not_carried
        states = logged_states(self.job.listener, self.entity, existing)
        judgement = Judgement()
        for row in rows:
            record, is_found = read.records.get(row.record_id), row.record_id not in unaccounted
            if row.is_deleted or record is None:
                # If the record was deleted after the query, the stream brings the deletion.
                is_missing = row.is_deleted and not is_found
                verdict = Verdict.MISSING if is_missing else Verdict.COMPLETE
            else:
                state = states.get(row.record_id)
                verdict, fields = self._of_existing(row, record, state, is_found)
                judgement.fields.add(fields)
            judgement.verdicts[row.record_id] = verdict
            stamp = milliseconds(record.get("SystemModstamp")) if record else None
            judgement.stamps[row.record_id] = max(row.stamp, stamp or 0)
        return judgement

    def _of_existing(
        self, row: Row, record: Mapping[str, Any], state: LoggedState | None, by_times: bool
    ) -> tuple[Verdict, Fields]:
        if state is None:
            return Verdict.MISSING, Fields()
        is_older = self._is_older(row, state)
        fields = compared(state, record, self.not_carried, claims_only=is_older)
        verdict = self._verdict(state, fields, by_times=by_times)
        if verdict is Verdict.MISSING:  # the whole record will be recorded: no field stays open
            fields = Fields(fields.differing, not_carried=fields.not_carried)
        return verdict, fields

    def _verdict(self, state: LoggedState, fields: Fields, *, by_times: bool) -> Verdict:
        """Return the verdict. `by_times`: whether the log meets the rule."""
        if fields.differing or state.is_deleted:  # the record exists: its restore is missing
            return Verdict.MISSING
        if not state.is_whole:
            return Verdict.IN_PART if by_times and not state.is_cut_off else Verdict.MISSING
        # After a wildcard, equal values do not prove that the log has the change.
        is_proven = not fields.open and self.job.reason != Reason.WILDCARD
        return Verdict.COMPLETE if by_times or is_proven else Verdict.MISSING

    def _is_older(self, row: Row, state: LoggedState) -> bool:
        """Return whether a record surely did not change after the loss. Then only the fields that
        the log has must agree, since some fields are read that no event carries."""
        job = self.job
        if job.reason != Reason.REPLAY_LOST or job.window_start is None:
            return False
        lost_after = (job.window_start + MARGIN).timestamp() // 1 * SECOND
        is_unchanged = row.stamp + SECOND + ON_ITS_WAY <= lost_after
        received_at = state.received_at
        return is_unchanged and received_at is not None and received_at < job.window_end


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
