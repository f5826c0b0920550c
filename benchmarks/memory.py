"""Measures the memory of listener and workers after thousands to a million changes, which are
published as fast as they are handled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.end_to_end import WORKERS
from benchmarks.figures import Figure, Report, Target
from benchmarks.org import create
from benchmarks.progress import Recorded, wait_for
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import say
from tests.chaos.services import Service
from tests.simulator.process import SimulatorProcess

#: Changes published ahead of the handled ones: enough that no process idles, too few for a backlog.
_AHEAD = 2000
_SECONDS = 6 * 3600.0
FLAT_SINCE = 100_000
MARKS = (10_000, FLAT_SINCE, 1_000_000)
Sample = dict[str, float]


def measure(stage: Stage, report: Report, transport: str, changes: int) -> None:
    """Measure at each mark below `changes`, and at the end."""
    marks = [*(mark for mark in MARKS if mark < changes), changes]
    options = ("--seed", "1", "--retention-events", str(10 * _AHEAD))
    with SimulatorProcess(*options, grpc=True) as org, stage.run() as run:
        samples = dict(_samples(run, org, transport, marks))
    for process in samples[marks[0]]:
        for mark in marks:
            targets = _targets(process, mark, samples)
            name = f"memory, {transport}, {process}, after {mark:,} changes"
            report.figures.append(Figure(name, "MB", (samples[mark][process],), targets))


def _targets(process: str, mark: int, samples: dict[int, Sample]) -> tuple[Target, ...]:
    if process != "listener":
        return ()
    targets: tuple[Target, ...] = (Target(150, "MB", at_most=True),)
    if mark > FLAT_SINCE and FLAT_SINCE in samples:
        flat = 1.05 * samples[FLAT_SINCE][process]
        targets += (Target(flat, f"within 5 % of that after {FLAT_SINCE:,}", at_most=True),)
    return targets


def _samples(
    run: Run, org: SimulatorProcess, transport: str, marks: list[int]
) -> Iterator[tuple[int, Sample]]:
    configure(run, org, listener_yaml(org, transport, "bench.empty"))
    recorded = Recorded(run.database)
    services = [*run.workers(WORKERS), run.listener()]
    published = 0
    for mark in marks:
        while published < mark:
            step = min(_AHEAD // 4, mark - published)
            create(org, step)
            published += step
            enough = partial(_have_caught_up, recorded, published - _AHEAD)
            wait_for(enough, _SECONDS, "handlers that keep up")
        wait_for(partial(recorded.is_handled, mark), _SECONDS, "the end of all handlers")
        sample = _sample(services)
        say(f"memory after {mark:,}: {sample}")
        yield mark, sample


def _have_caught_up(recorded: Recorded, changes: int) -> bool:
    return recorded.count - recorded.unended() >= changes


def _sample(services: list[Service]) -> Sample:
    """Return the resident memory in megabytes of each process and of each of its children."""
    return {
        f"{service.name}, child {number}" if number else service.name: (
            process.memory_info().rss / 1e6
        )
        for service in services
        for number, process in enumerate(service.tree())
    }
