"""Decide by times and values whether the audit log has each record of a comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from audit.models import Reconciliation
from consumer.reconciliation.evidence import Rule, incomplete
from consumer.reconciliation.logged_state import LoggedState, logged_states
from consumer.reconciliation.salesforce_rows import ON_ITS_WAY, SECOND, Row
from consumer.reconciliation.scope import lost_after
from consumer.reconciliation.values import DERIVED, Fields, compared
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import RecordsRead, milliseconds

Reason = Reconciliation.Reason


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
            # Read it from Salesforce now: `supply` judges again with the position locked.
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
        if fields.differing:
            return Verdict.MISSING
        if not state.is_whole:
            return Verdict.IN_PART if by_times and not state.is_cut_off else Verdict.MISSING
        # After a wildcard, equal values do not prove that the log has the change.
        is_proven = not fields.open and self.job.reason != Reason.WILDCARD
        return Verdict.COMPLETE if by_times or is_proven else Verdict.MISSING

    def _is_older(self, row: Row, state: LoggedState) -> bool:
        """Return whether a record surely did not change after the loss. Then only the fields that
        the log has must agree, since some fields are read that no event carries."""
        before = lost_after(self.job)
        if before is None or row.stamp + SECOND + ON_ITS_WAY > before:
            return False
        return state.received_at is not None and state.received_at < self.job.window_end
