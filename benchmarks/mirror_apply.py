"""A backlog of recorded updates, applied to a mirror by one worker, beside a handler that does
nothing."""

from __future__ import annotations

import csv
import io
import time
from functools import partial

from benchmarks.bayeux import log_in
from benchmarks.figures import Report, Target
from benchmarks.mirror_load import ENTITY, LISTENER, org_with, pages_of
from benchmarks.progress import Recorded, cpu_seconds, wait_for, wait_for_subscription
from benchmarks.stage import STOP_SECONDS, Run, Stage, configure
from benchmarks.turns import Measured, Rates, Turns, Way, measured
from tests.simulator.process import SimulatorProcess

_APPLY, _EMPTY = "mirror apply", "floor: an empty handler, batch=1000"
_EMPTY_LISTENER = (
    LISTENER.replace("tip", "earliest")
    + f"    handlers: [{{on: update, entity: {ENTITY}, handler: bench.empty_thousand}}]\n"
)
_SECONDS = 1800.0
#: Records of a transaction of the org.
_TRANSACTION = 100
_APPLIED = "SELECT count(*) FROM mirrored_asset WHERE text_1 = 'changed'"


def measure(stage: Stage, report: Report, changes: int, runs: int) -> None:
    """Measure the mirror and the empty handler by turns, each with its own org and updates."""
    ways: dict[str, Way] = {
        _APPLY: partial(_applied, changes),
        _EMPTY: partial(_emptied, changes),
    }
    turns = Turns(stage, report, ways)
    turns.run(runs)
    turns.conclude(partial(_targets, turns.rates()))


def _targets(rates: Rates, name: str) -> tuple[Target, ...]:
    if name != _APPLY or _EMPTY not in rates:
        return ()
    return (Target.share_of(rates[_EMPTY], 0.5, "half of an empty handler"),)


def _applied(changes: int, run: Run) -> Measured:
    with org_with(changes) as org:
        configure(run, org, LISTENER.replace("tip", "earliest"))
        run.python("-m", "benchmarks.mirror_load", "product")
        run.database.run("DELETE FROM listeners_position")  # the load's stand-in for a listener
        found = _drained(org, changes, run)
        [applied] = run.database.row(_APPLIED)
        if applied != changes:
            raise RuntimeError(f"{applied} of {changes} updates were applied")
        return found


def _emptied(changes: int, run: Run) -> Measured:
    with org_with(changes) as org:
        configure(run, org, _EMPTY_LISTENER)
        return _drained(org, changes, run)


def _drained(org: SimulatorProcess, changes: int, run: Run) -> Measured:
    """Record and publish updates of all records, stop the listener, and let a worker drain them."""
    _update(org)
    recorded = Recorded(run.database)
    listener = run.listener()
    wait_for_subscription(listener)
    wait_for(lambda: recorded.is_published(changes), _SECONDS, "the end of the recording")
    listener.stop(STOP_SECONDS)
    [worker] = run.workers(1)
    of_worker, of_database = cpu_seconds([worker]), run.database_cpu()
    first, began = recorded.unended(), time.time()
    ended = wait_for(lambda: recorded.is_handled(changes), _SECONDS, "the end of the backlog")
    if first < changes / 2:
        raise RuntimeError(f"only {first} of {changes} updates were left when the worker was up")
    of_worker, of_database = cpu_seconds([worker]) - of_worker, run.database_cpu() - of_database
    return measured(first, ended - began, of_worker, of_database)


def _update(org: SimulatorProcess) -> None:
    """Change four fields of each record."""
    known = (org.credentials["client_id"], org.credentials["client_secret"])
    for page in pages_of(org.url, log_in(org.url, *known)["access_token"]):
        ids = [row[0] for row in csv.reader(io.StringIO(page.content.decode(), newline=""))][1:]
        for start in range(0, len(ids), _TRANSACTION):
            chosen = ids[start : start + _TRANSACTION]
            org.change(
                *(
                    {"op": "update", "entity": ENTITY, "record_ids": [one], "fields": _fields(n)}
                    for n, one in enumerate(chosen, start)
                )
            )


def _fields(number: int) -> dict[str, object]:
    return {
        "Text_1__c": "changed",
        "Text_2__c": f"Renewal {number} is at risk: the champion left.",
        "Amount_1__c": 1000.5 + number,
        "Moment_1__c": f"2026-01-{number % 28 + 1:02}T12:00:00.000Z",
    }
