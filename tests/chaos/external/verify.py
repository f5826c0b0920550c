"""What the other project did, by its own log, against what the product says of each delivery.

Independent of the product: it reads the project's log, the log of the faults, what the org has
published, and the database with SQL of its own.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.external.stage import Fault
from tests.chaos.mirror.database import Database, moment

#: The first attempt of one change in so many fails.
FLAKY = 50
#: A worker that reconnects may run and report before the product's queue exists again.
RECONNECT_SECONDS = 20.0
_DELIVERIES = """
SELECT d.id, e.id, e.transaction_key, e.sequence_number, e.record_id, d.state, d.attempts,
       d.attempts_before
FROM audit_auditlogentry e JOIN handlers_delivery d ON d.entry_id = e.id
WHERE e.change_type = 'UPDATE'
"""
_ATTEMPTS = """
SELECT delivery_id, number, outcome, started_at, finished_at FROM handlers_deliveryattempt
"""
_TASK_ID = re.compile(r"delivery-(\d+)-(\d+)")
#: Transaction key, sequence number, record.
Change = tuple[str, int, str]


@dataclass(slots=True)
class Run:
    """One run of the task: places in the log and times; `end` is missing if it was killed."""

    task_id: str
    pid: int
    entry: int
    change: Change
    started: int
    started_at: float
    outcome: str = ""
    ended: int = 0

    @property
    def attempt(self) -> tuple[int, int]:
        """The delivery's id and the number of the attempt; zeros for another's task id."""
        found = _TASK_ID.fullmatch(self.task_id)
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, slots=True)
class Log:
    """The runs of each change, in the order in which they began."""

    runs: Mapping[Change, Sequence[Run]]

    @classmethod
    def read(cls, path: Path) -> Log:
        runs: dict[Change, list[Run]] = defaultdict(list)
        open_runs: dict[tuple[int, str], Run] = {}
        for place, text in enumerate(path.read_text().splitlines(), 1):
            line = json.loads(text)
            change = (line["transaction"], line["number"], line["record"])
            key = (line["pid"], line["task"])
            if line["what"] == "start":
                run = Run(line["task"], line["pid"], line["entry"], change, place, line["at"])
                runs[change].append(run)
                open_runs[key] = run
            else:
                run = open_runs.pop(key)
                run.outcome, run.ended = line["what"], place
        return cls(runs)

    def by_attempt(self) -> Mapping[tuple[int, int], list[Run]]:
        found: dict[tuple[int, int], list[Run]] = defaultdict(list)
        for runs in self.runs.values():
            for run in runs:
                found[run.attempt].append(run)
        return found


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
            if first.pid in fault.pids and fault.until >= first.started_at:
                return fault.kind
            if not fault.pids and fault.until + RECONNECT_SECONDS >= first.started_at:
                return fault.kind
        return ""

    def excuses_unknown(self, until: float) -> bool:
        """Whether there was a fault that can have cost the report of an attempt that was given up
        then."""
        since = until - 2 * self.report_timeout - RECONNECT_SECONDS
        return any(fault.until >= since and fault.at <= until for fault in self.faults)


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
    attempts = {(row[0], row[1]): (row[2], moment(row[4])) for row in database.rows(_ATTEMPTS)}
    for change in changes:
        if delivery := deliveries.get(change):
            runs = log.runs.get(change, ())
            _check_outcome(verdict, delivery, attempts, runs)
            _check_runs(verdict, delivery, runs, timing)
    released = {delivery.id for delivery in deliveries.values() if delivery.released}
    _check_attempts(verdict, attempts, released, log, timing)
    _check_order(verdict, changes, log)
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


def _check_outcome(
    verdict: Verdict,
    delivery: Delivery,
    attempts: Mapping[tuple[int, int], Any],
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
    if _fails_at_first(delivery.change) and attempts.get((delivery.id, 1), ("",))[0] == "succeeded":
        verdict.report("its first attempt failed and was recorded as a success", delivery)


def _check_runs(verdict: Verdict, delivery: Delivery, runs: Sequence[Run], timing: Timing) -> None:
    """Check that each second run has a reason: a failure, a killed worker or a lost broker."""
    for run in runs:
        verdict.counts["runs"] += 1
        verdict.counts[f"runs: {run.outcome or 'killed'}"] += 1
        if run.attempt[0] != delivery.id or run.entry != delivery.entry:
            verdict.report("a run for another delivery", f"{delivery} {run}")
    for first, second in itertools.pairwise(runs):
        if first.outcome == "failure" and first.task_id != second.task_id:
            continue
        reason = timing.excuses_second(first, second)
        if not reason:
            verdict.report("handled twice", f"{delivery} {first} {second}")
        elif first.outcome == "success":
            verdict.counts[f"handled twice after: {reason}"] += 1


def _check_attempts(
    verdict: Verdict,
    attempts: Mapping[tuple[int, int], tuple[str, Any]],
    released: Collection[int],
    log: Log,
    timing: Timing,
) -> None:
    """Check that the audit log's outcome of each attempt agrees with the project's log."""
    runs = log.by_attempt()
    for attempt, (outcome, finished_at) in attempts.items():
        verdict.counts[f"attempts: {outcome}"] += 1
        outcomes = {run.outcome for run in runs.get(attempt, ())}
        if outcome == "succeeded" and "success" not in outcomes:
            verdict.report("a success that was none", attempt)
        elif outcome == "failed" and "failure" not in outcomes:
            verdict.report("a failure that was none", attempt)
        elif outcome == "unknown" and not timing.excuses_unknown(finished_at.timestamp()):
            verdict.report("unknown without a fault", (attempt, outcomes, str(finished_at)))
        elif outcome not in ("succeeded", "failed", "unknown"):
            verdict.report(f"an attempt that {outcome}", attempt)
    for attempt in runs.keys() - attempts.keys():
        if attempt[0] not in released:
            verdict.report("a run of no attempt", attempt)


def _check_order(verdict: Verdict, changes: Sequence[Change], log: Log) -> None:
    """Check that a change's first run begins after the record's previous change has succeeded."""
    succeeded: dict[str, int] = {}
    for change in changes:
        runs = log.runs.get(change, ())
        if not runs:
            continue
        if runs[0].started < succeeded.get(change[2], 0):
            verdict.report("out of order", change)
        ends = [run.ended for run in runs if run.outcome == "success"]
        succeeded[change[2]] = min(ends, default=0)


def _fails_at_first(change: Change) -> bool:
    """Return whether the project fails the first attempt for this change."""
    return zlib.crc32(f"{change[0]}-{change[1]}".encode()) % FLAKY == 0
