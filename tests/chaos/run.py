"""One run: faults and traffic → recovery by itself → verification."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.brokers import Broker
from tests.chaos.faults import KINDS, Faults
from tests.chaos.org_faults import that_can_be
from tests.chaos.plan import Fault, schedule
from tests.chaos.report import Report
from tests.chaos.stage import HEARD, Size, Stage
from tests.chaos.traffic import Traffic
from tests.chaos.transports import COMETD
from tests.chaos.verify import Verdict, published, verify
from tests.chaos.watch import Watch

_OPEN = """
SELECT count(*) FROM handlers_delivery
WHERE state IN ('blocked', 'ready', 'queued', 'running', 'retrying')
"""
_RECORDED = "SELECT count(*) FROM audit_auditlogentry WHERE source = 'stream'"
LOOK_SECONDS = 0.5
#: Each log entry of a process starts with the time.
_SAID = re.compile(r"^(?=\d{4}-\d\d-\d\dT)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of a run: `seconds` of faults and traffic, a fault `every` so many seconds;
    then recovery, which ends when nothing has moved for `patience` seconds."""

    seed: int
    changes: int
    seconds: float
    every: float
    patience: float
    transport: str = COMETD


def run(folder: Path, broker: Broker, wanted: Wanted) -> Report:
    """Play a run in an empty folder, and leave its logs there."""
    started = time.monotonic()
    with Stage(folder, broker, Size(transport=wanted.transport)) as stage:
        watch = Watch(stage)
        watch.start()
        faults = Faults(stage)
        planned = _play(stage, watch, faults, wanted)
        events = stage.org.state(records=0)["events"]
        left_alone = time.monotonic()
        due = sum(len(published(events, heard)) for heard in HEARD.values())
        left = recover(stage, due, wanted.patience)
        recovered = time.monotonic() - left_alone
        watch.stop()
        restarts = {service.name: service.restarts for service in stage.services}
        stage.stop_services()
        with stage.connect() as connection:
            found = verify(connection, events, wanted.transport)
        return Report(
            seed=wanted.seed,
            transport=wanted.transport,
            broker=broker.version(),
            database=_version(stage),
            seconds=time.monotonic() - started,
            recovery_seconds=recovered,
            faults=dict(faults.counts),
            counts=dict(found.counts),
            restarts=restarts,
            pauses=watch.longest_pauses(planned),
            violations=_violations(stage, faults, left, found),
            unforeseen=_unforeseen(folder),
        )


def _play(stage: Stage, watch: Watch, faults: Faults, wanted: Wanted) -> list[Fault]:
    """Inject faults and publish traffic side by side, and return the planned faults."""
    kinds = that_can_be(list(KINDS), wanted.transport)
    planned = schedule(wanted.seed, kinds, seconds=wanted.seconds, every=wanted.every)
    traffic = Traffic(stage.org, wanted.seed, wanted.changes, wanted.seconds)
    traffic.start()
    for fault in planned:
        time.sleep(max(0.0, fault.at - watch.now))
        faults.begin(fault)
    traffic.join(wanted.seconds * 2 + 600)
    faults.end()
    if traffic.failure or traffic.is_alive():
        faults.failures.append(traffic.failure or "the traffic did not end")
    return planned


def recover(stage: Stage, due: int, patience: float) -> str:
    """Wait without faults until `due` changes are recorded and nothing is open. Returns the open
    work once nothing has moved for `patience` seconds."""
    before, since = "", time.monotonic()
    while left := _left(stage, due):
        if left != before:
            before, since = left, time.monotonic()
        if time.monotonic() - since > patience:
            return f"{left}, and nothing has moved for {patience:g} s"
        time.sleep(LOOK_SECONDS)
    return ""


def _left(stage: Stage, due: int) -> str:
    """Return the work that is still to be done, or an empty text."""
    try:
        with stage.connect() as connection:
            recorded, unended = (_number(connection, query) for query in (_RECORDED, _OPEN))
    except psycopg.Error as error:
        return str(error)
    if recorded < due:
        return f"{due - recorded} changes are not recorded"
    if unended:
        return f"{unended} deliveries have not ended"
    waiting = stage.broker.waiting()
    return f"{waiting} messages wait in the broker" if waiting else ""


def _number(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _version(stage: Stage) -> str:
    with stage.connect() as connection:
        return f"PostgreSQL {connection.info.server_version // 10000}"


def _violations(
    stage: Stage, faults: Faults, left: str, found: Verdict
) -> dict[str, Sequence[str]]:
    listed: dict[str, Sequence[str]] = {
        "the harness": faults.failures,
        "not recovered": [left] if left else [],
        "a listener's exit code": [str(code) for code in stage.exit_codes if code],
        **found.violations,
    }
    return {kind: texts for kind, texts in listed.items() if texts}


def _unforeseen(folder: Path) -> dict[str, int]:
    """Return how often each unexpected error was logged, by log and last line of its traceback."""
    found: Counter[str] = Counter()
    for log in folder.glob("*.log"):
        for said in _SAID.split(log.read_text(errors="replace")):
            first, *traceback = said.splitlines() or [""]
            if "unexpected error" in first or "unforeseen" in first:
                raised = [line for line in traceback if line[:1].strip()]
                found[f"{log.stem}: {(raised or [first])[-1]}"] += 1
    return dict(found.most_common())
