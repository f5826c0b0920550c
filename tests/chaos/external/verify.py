"""What the other project did, by its own log, against what the product says of each delivery.

Independent of the product: it reads the project's log, the log of the faults, what the org has
published, and the database with SQL of its own.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any

from tests.chaos.external.effects import Change, Log, Run
from tests.chaos.external.stage import RESTART, Fault
from tests.chaos.mirror.database import Database, moment

#: The first attempt of one change in so many fails.
FLAKY = 50
#: A worker sends a report at once after its task; on a busy machine not much later.
REPORT_SECONDS = 2.0
#: A worker that reconnects may run and report before the product's queue exists again.
RECONNECT_SECONDS = 20.0
_DELIVERIES = """
SELECT d.id, e.id, e.transaction_key, e.sequence_number, e.record_id, d.state, d.attempts,
       d.attempts_before
FROM audit_auditlogentry e JOIN handlers_delivery d ON d.entry_id = e.id
WHERE e.change_type = 'UPDATE'
"""
#: A first attempt that succeeded has no row: its delivery tells it.
_ATTEMPTS = """
SELECT delivery_id, number, outcome, started_at, finished_at FROM handlers_deliveryattempt
UNION ALL
SELECT id, 1, 'succeeded', started_at, finished_at FROM handlers_delivery
WHERE state = 'succeeded' AND attempts = 1 AND started_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as the audit log has it; a tracked one starts when its task is sent."""

    outcome: str
    started_at: float
    finished_at: float


Attempts = Mapping[tuple[int, int], Attempt]


@dataclass(frozen=True, slots=True)
class Timing:
    """The faults, and after how many seconds a missing report ends an attempt."""

    faults: Sequence[Fault]
    report_timeout: float

    def excuses_second(self, first: Run, second: Run) -> str:
        """Return the fault for which the second run is right although the first one succeeded or
        was never ended, or an empty text."""
        for fault in self.faults:
            if fault.at > second.started_at:
                continue
            slack = RECONNECT_SECONDS if fault.kind == RESTART else 0.0
            if fault.until + slack < first.started_at:
                continue
            was_reported = first.ended_at and first.ended_at + REPORT_SECONDS < fault.at
            if not fault.pids or (first.pid in fault.pids and not was_reported):
                return fault.kind
        return ""

    def excuses_unknown(self, attempt: Attempt) -> bool:
        """Return whether there was a fault that can have cost the report of an attempt."""
        since = attempt.started_at - RECONNECT_SECONDS
        return any(
            fault.until >= since and fault.at <= attempt.finished_at for fault in self.faults
        )

    def excuses_failure(self, attempt: Attempt) -> bool:
        """Return whether the worker may have missed its broker after the task had succeeded: Celery
        then counts the task as failed, and reports that once the broker is back."""
        restarts = [fault for fault in self.faults if fault.kind == RESTART]
        return any(
            fault.until >= attempt.started_at
            and fault.at <= attempt.finished_at <= fault.until + RECONNECT_SECONDS
            for fault in restarts
        )

    def is_late(self, run: Run, attempt: Attempt) -> bool:
        """Return whether a run ended after its attempt's deadline, as on a machine that is too
        slow for it."""
        deadline = attempt.started_at + self.report_timeout
        return attempt.outcome == "unknown" and run.ended_at + REPORT_SECONDS >= deadline


@dataclass(slots=True)
class Verdict:
    """Counts of what was checked, and the violations found."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def report(self, kind: str, what: object) -> None:
        self.violations[kind].append(str(what))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as the database has it, with its change.

    Of the attempts, those that were `released` because the broker did not take their task are not
    in the audit log. Such a task may have arrived all the same.
    """

    id: int
    entry: int
    change: Change
    state: str
    attempts: int
    released: int


def verify(
    database: Database, events: Sequence[Mapping[str, Any]], log: Log, timing: Timing
) -> Verdict:
    """Compare the org's log, the audit log, the deliveries with their attempts, and the runs."""
    verdict = Verdict()
    changes = _published(events)
    verdict.counts["changes"] = len(changes)
    deliveries = _deliveries(verdict, database, changes)
    attempts = _attempts(database)
    for change in changes:
        if delivery := deliveries.get(change):
            runs = log.runs.get(change, ())
            _check_outcome(verdict, delivery, attempts, runs)
            _check_runs(verdict, delivery, attempts, runs, timing)
    released = {delivery.id for delivery in deliveries.values() if delivery.released}
    _check_attempts(verdict, attempts, released, log, timing)
    _check_order(verdict, changes, deliveries, log)
    for change in log.runs.keys() - deliveries.keys():
        verdict.report("a run of no change", change)
    return verdict


def _published(events: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return the updates in the org's order."""
    headers = (event["header"] for event in events)
    return [
        (header["transactionKey"], header["sequenceNumber"], record_id)
        for header in headers
        if header["changeType"] == "UPDATE"
        for record_id in header["recordIds"]
    ]


def _deliveries(
    verdict: Verdict, database: Database, changes: Sequence[Change]
) -> dict[Change, Delivery]:
    found: dict[Change, Delivery] = {}
    for delivery_id, entry, key, number, record, *more in database.rows(_DELIVERIES):
        change = (key, number, record)
        if change in found:
            verdict.report("recorded twice", change)
        found[change] = Delivery(delivery_id, entry, change, *more)
    for change in changes:
        if change not in found:
            verdict.report("not recorded", change)
    return found


def _attempts(database: Database) -> Attempts:
    return {
        (delivery_id, number): Attempt(outcome, _seconds(started), _seconds(finished))
        for delivery_id, number, outcome, started, finished in database.rows(_ATTEMPTS)
    }


def _seconds(value: Any) -> float:
    """Return a time of the database in seconds since 1970."""
    found = moment(value)
    assert found is not None
    return found.timestamp()


def _check_outcome(
    verdict: Verdict,
    delivery: Delivery,
    attempts: Attempts,
    runs: Sequence[Run],
) -> None:
    verdict.counts[f"deliveries that {delivery.state}"] += 1
    if delivery.state != "succeeded":
        verdict.report(f"ended as {delivery.state}", delivery)
        return
    verdict.counts["attempts: released"] += delivery.released
    logged = [(delivery.id, number) in attempts for number in range(1, delivery.attempts + 1)]
    if sum(logged) != delivery.attempts - delivery.released:
        verdict.report("an attempt is not in the audit log", delivery)
    last = (delivery.id, delivery.attempts)
    if not any(run.attempt == last and run.outcome == "success" for run in runs):
        verdict.report("succeeded without a run that did", delivery)
    first = attempts.get((delivery.id, 1))
    if _fails_at_first(delivery.change) and first and first.outcome == "succeeded":
        verdict.report("its first attempt failed and was recorded as a success", delivery)


def _check_runs(
    verdict: Verdict,
    delivery: Delivery,
    attempts: Attempts,
    runs: Sequence[Run],
    timing: Timing,
) -> None:
    """No second run without a reason: a failure, a killed worker, a lost broker, a late report."""
    for run in runs:
        verdict.counts["runs"] += 1
        verdict.counts[f"runs: {run.outcome or 'killed'}"] += 1
        if run.attempt[0] != delivery.id or run.entry != delivery.entry:
            verdict.report("a run for another delivery", f"{delivery} {run}")
    for first, second in pairwise(runs):
        if first.outcome == "failure" and first.task_id != second.task_id:
            continue
        attempt = attempts.get(first.attempt)
        reason = timing.excuses_second(first, second)
        if not reason and attempt and timing.is_late(first, attempt):
            reason = "its report was too late"
        if not reason:
            verdict.report("handled twice", f"{delivery} {first} {second}")
        elif first.outcome == "success":
            verdict.counts[f"handled twice after: {reason}"] += 1


def _check_attempts(
    verdict: Verdict,
    attempts: Attempts,
    released: Collection[int],
    log: Log,
    timing: Timing,
) -> None:
    """Check that the audit log's outcome of each attempt agrees with the project's log."""
    runs = log.by_attempt()
    for key, attempt in attempts.items():
        outcome, of_attempt = attempt.outcome, runs.get(key, ())
        verdict.counts[f"attempts: {outcome}"] += 1
        outcomes = {run.outcome for run in of_attempt}
        if outcome == "succeeded" and "success" not in outcomes:
            verdict.report("a success that was none", key)
        elif outcome == "failed" and "failure" not in outcomes:
            if "success" not in outcomes or not timing.excuses_failure(attempt):
                verdict.report("a failure that was none", key)
        elif outcome == "unknown" and not timing.excuses_unknown(attempt):
            if not of_attempt or not all(timing.is_late(run, attempt) for run in of_attempt):
                verdict.report("unknown without a fault", f"{key} {attempt} {of_attempt}")
        elif outcome not in ("succeeded", "failed", "unknown"):
            verdict.report(f"an attempt that {outcome}", key)
    for key in runs.keys() - attempts.keys():
        if key[0] not in released:
            verdict.report("a run of no attempt", key)


def _check_order(
    verdict: Verdict,
    changes: Sequence[Change],
    deliveries: Mapping[Change, Delivery],
    log: Log,
) -> None:
    """Check that a change first runs after the attempt that ended the record's previous change, and
    that no attempt begins to run once a later change of the record has run.

    That a message runs again, when and after which fault, is checked with the runs of its change.
    """
    ended: dict[str, int] = {}
    for change in changes:
        if not (runs := log.runs.get(change, ())):
            continue
        if runs[0].started < ended.get(change[2], 0):
            verdict.report("out of order", change)
        delivery = deliveries.get(change)
        last = (delivery.id, delivery.attempts) if delivery else None
        ends = [run.ended for run in runs if run.outcome == "success" and run.attempt == last]
        ended[change[2]] = min(ends, default=0)
    later: dict[str, float] = {}
    for change in reversed(changes):
        runs = log.runs.get(change, ())
        first_of_each = {run.task_id: run.started for run in reversed(runs)}
        before = later.get(change[2], inf)
        if any(started > before for started in first_of_each.values()):
            verdict.report("out of order", f"{change}: begun after a later one")
        later[change[2]] = min(before, *first_of_each.values()) if first_of_each else before


def _fails_at_first(change: Change) -> bool:
    """Return whether the project fails the first attempt for this change."""
    return zlib.crc32(f"{change[0]}-{change[1]}".encode()) % FLAKY == 0
