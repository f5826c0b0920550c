"""Measures many listeners in one process: their cost when idle, and their rate when all of them
receive the same events."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.figures import Figure, Report, Target
from benchmarks.org import create
from benchmarks.progress import Recorded, cpu_seconds, wait_for
from benchmarks.stage import Run, Stage, configure, listener_yaml
from tests.chaos.services import Service
from tests.simulator.process import SimulatorProcess

_SECONDS = 600.0
IDLE_SECONDS = 30.0
#: Seconds after the last change at which the memory is measured again.
_LATER_SECONDS = 60.0
_RECEIVING = "SELECT count(*) FROM listeners_position WHERE state = 'receiving'"
_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def measure(stage: Stage, report: Report, transport: str, listeners: int, events: int) -> None:
    """Measure one run, first idle, then busy with `events` for each listener."""
    named = f"{listeners} listeners, {transport}"
    with SimulatorProcess("--seed", "1", grpc=True) as org, stage.run() as run:
        one = partial(listener_yaml, org, transport, "", replay_from="tip")
        configure(run, org, "".join(one(name=f"bench{n}") for n in range(listeners)))
        began = time.monotonic()
        process = run.listener()
        wait_for(lambda: run.database.row(_RECEIVING)[0] == listeners, _SECONDS, "their start")
        started = time.monotonic() - began
        report.figures.append(Figure(f"{named}, until all receive", "s", (started,)))
        report.figures += _idle(named, process, run)
        rate, most = _busy(run, org, process, listeners * events, events)
        time.sleep(_LATER_SECONDS)
        at_most = Target(350, "MB", at_most=True), Target(250, "MB", at_most=True)
        report.figures += [
            Figure(f"{named}, busy, of all together", "changes/s", (rate,)),
            Figure(f"{named}, busy, memory at most", "MB", (most,), at_most[:1]),
            Figure(f"{named}, memory a minute later", "MB", (_memory(process),), at_most[1:]),
        ]


def _idle(named: str, process: Service, run: Run) -> list[Figure]:
    before, most = cpu_seconds([process]), 0
    ended = time.monotonic() + IDLE_SECONDS
    while time.monotonic() < ended:
        most = max(most, int(run.database.row(_SESSIONS)[0]))
        time.sleep(1)
    share = 100 * (cpu_seconds([process]) - before) / IDLE_SECONDS
    return [
        Figure(f"{named}, idle, of one CPU", "%", (share,)),
        Figure(f"{named}, idle, memory", "MB", (_memory(process),)),
        Figure(f"{named}, idle, connections to the database, at most", "", (most,)),
    ]


def _busy(
    run: Run, org: SimulatorProcess, process: Service, changes: int, events: int
) -> tuple[float, float]:
    """Return the changes per second and the highest memory."""
    recorded = Recorded(run.database)
    samples: list[float] = []

    def is_recorded() -> bool:
        samples.append(_memory(process))
        return recorded.is_published(changes)

    began = time.time()
    create(org, events)
    ended = wait_for(is_recorded, _SECONDS, "all changes")
    found = recorded.counts()[0]
    if found != changes:
        raise RuntimeError(f"of {changes} changes {found} were recorded")
    return changes / (ended - began), max(samples)


def _memory(process: Service) -> float:
    return float(process.tree()[0].memory_info().rss / 1e6)
