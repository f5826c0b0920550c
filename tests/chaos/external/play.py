"""One run: changes and faults → recovery by itself → verification."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.org import org_with_chains
from tests.chaos.external.console import shown
from tests.chaos.external.effects import Log
from tests.chaos.external.environments import versions_of
from tests.chaos.external.report import Report
from tests.chaos.external.stage import (
    DEAF,
    FLUSH,
    KILL,
    KILL_LISTENER,
    QUEUE,
    QUEUES,
    RESTART,
    FaultLog,
    Stage,
    Wanted,
    kill,
)
from tests.chaos.external.verify import Timing, verify
from tests.chaos.mirror.database import Errors

LOOK_SECONDS = 0.3
#: Workers that begin no task for so long, while tasks wait, are restarted.
DEAF_SECONDS = 30.0
_STATES = "SELECT state, count(*) FROM handlers_delivery GROUP BY state"
_ENDED = ("succeeded", "skipped", "dead", "sent")


def run(folder: Path, wanted: Wanted) -> Report:
    """Play a run in an empty folder, and leave its logs there."""
    started = time.monotonic()
    with (
        org_with_chains(wanted.changes, wanted.changes // wanted.records) as org,
        Stage(folder, wanted, org) as stage,
    ):
        faults = FaultLog(folder / "faults.jsonl")
        began = time.monotonic()
        left = _play(stage, faults)
        seconds = time.monotonic() - began
        codes = stage.stop_services()
        log = Log.read(stage.effects)
        timing = Timing(faults.faults, wanted.report_timeout)
        verdict = verify(stage.database, org.state(records=0)["events"], log, timing)
        for kind, texts in (
            ("not ended", [left] if left else []),
            ("a listener's exit code", codes),
            ("not shown in the console or the API", shown(stage)),
        ):
            verdict.violations[kind] += texts
        return Report(
            seed=wanted.seed,
            combination=str(wanted),
            versions=versions_of(stage.python),
            broker=stage.broker.version(),
            database=wanted.database,
            seconds=time.monotonic() - started,
            handling_seconds=seconds,
            faults=dict(Counter(fault.kind for fault in faults.faults)),
            counts=dict(verdict.counts),
            violations={kind: found for kind, found in verdict.violations.items() if found},
        )


def _play(stage: Stage, faults: FaultLog) -> str:
    """Inject the faults, each when so many changes have ended; return what has not ended although
    no change ends any more."""
    wanted = stage.wanted
    planned = _plan(wanted)
    before, since = -1, time.time()
    while (states := _states(stage)).keys() - _ENDED or sum(states.values()) < wanted.changes:
        ended = sum(states.get(state, 0) for state in _ENDED)
        if planned and ended >= planned[0][0] * wanted.changes:
            _, kind, pick = planned.pop(0)
            _inject(stage, faults, kind, pick)
        if ended > before:
            before, since = ended, time.time()
        if time.time() - since > wanted.patience:
            return f"{states}, and none has ended for {wanted.patience:g} s"
        _restart_deaf_workers(stage, faults)
        time.sleep(LOOK_SECONDS)
    return ""


def _restart_deaf_workers(stage: Stage, faults: FaultLog) -> None:
    """Restart workers that take none of the tasks that wait, as an operator would. Workers of some
    releases of Celery do so after their Redis was restarted (celery/celery#8030)."""
    since = stage.effects.stat().st_mtime
    tried = max((fault.until for fault in faults.faults if fault.kind == DEAF), default=0.0)
    if time.time() - max(since, tried) > DEAF_SECONDS and stage.broker.depth(QUEUE):
        killed = [kill(worker) for worker in stage.workers]
        faults.add(DEAF, since, frozenset().union(*killed))


def _states(stage: Stage) -> dict[str, int]:
    try:
        return {str(state): int(count) for state, count in stage.database.rows(_STATES)}
    except Errors:
        return {}


def _plan(wanted: Wanted) -> list[tuple[float, str, float]]:
    """Return each fault with the share of changes after which it comes, and a number below 1 that
    chooses among the targets."""
    rng = random.Random(wanted.seed)
    kinds = [KILL] * wanted.kills + [FLUSH] * wanted.flushes + [RESTART] * wanted.restarts
    kinds += [KILL_LISTENER] * wanted.listener_kills
    rng.shuffle(kinds)
    width = 0.9 / max(1, len(kinds))
    return [
        (0.03 + width * (place + rng.random()), kind, rng.random())
        for place, kind in enumerate(kinds)
    ]


def _inject(stage: Stage, faults: FaultLog, kind: str, pick: float) -> None:
    began = time.time()
    faults.add(kind, began, _FAULTS[kind](stage, pick))


def _kill_worker(stage: Stage, pick: float) -> frozenset[int]:
    return kill(stage.workers[int(pick * len(stage.workers))])


def _kill_listener(stage: Stage, pick: float) -> frozenset[int]:
    return kill(stage.listeners[int(pick * len(stage.listeners))])


def _flush(stage: Stage, _: float) -> frozenset[int]:
    stage.broker.flush(*QUEUES)
    return frozenset()


def _restart(stage: Stage, _: float) -> frozenset[int]:
    stage.broker.kill()
    stage.broker.start()
    return frozenset()


_FAULTS: Mapping[str, Callable[[Stage, float], frozenset[int]]] = {
    KILL: _kill_worker,
    FLUSH: _flush,
    RESTART: _restart,
    KILL_LISTENER: _kill_listener,
}
