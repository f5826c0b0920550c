"""Measures the CPU time and the memory of starting each kind of process, until its first work."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.figures import Figure, Report, Target
from benchmarks.org import org_with
from benchmarks.progress import Recorded, cpu_seconds, wait_for, wait_for_subscription
from benchmarks.stage import Run, Stage, configure, listener_yaml
from tests.chaos.services import Service
from tests.servers import free_port
from tests.simulator.process import SimulatorProcess

_SECONDS = 120.0
_TARGET = Target(2, "a normal machine", at_most=True)
#: CPU seconds, and the megabytes of each process.
Measured = tuple[float, list[float]]


def measure(stage: Stage, report: Report, transport: str, runs: int) -> None:
    found: dict[str, list[Measured]] = {}
    with org_with(1) as org:
        for _ in range(runs):
            with stage.run() as run:
                for name, measured in _one_run(run, org, transport).items():
                    found.setdefault(name, []).append(measured)
    for name, all_measured in found.items():
        cpu = tuple(seconds for seconds, _ in all_measured)
        report.figures.append(Figure(name, "s of CPU", cpu, (_TARGET,)))
        for number, megabytes in enumerate(zip(*(each for _, each in all_measured), strict=False)):
            whose = f", memory of child {number}" if number else ", memory"
            report.figures.append(Figure(name + whose, "MB", megabytes))


def _one_run(run: Run, org: SimulatorProcess, transport: str) -> dict[str, Measured]:
    configure(run, org, listener_yaml(org, transport, "bench.empty"))
    before = _cpu_of_children()
    run.manage("check")
    found: dict[str, Measured] = {"manage.py check": (_cpu_of_children() - before, [])}
    recorded = Recorded(run.database)
    listener = run.listener()
    wait_for_subscription(listener)
    found["listener until it receives"] = _measured(listener)
    wait_for(partial(recorded.is_published, 1), _SECONDS, "the change")
    run.stop()
    (worker,) = run.workers(1)
    wait_for(partial(recorded.is_handled, 1), _SECONDS, "the first task")
    found["worker until it has run a task"] = _measured(worker)
    port = free_port()
    web = run.web(port)
    wait_for(_answers(f"http://127.0.0.1:{port}/admin/login/"), _SECONDS, "the first page")
    found["gunicorn until it has answered a page"] = _measured(web)
    return found


def _measured(service: Service) -> Measured:
    memory = [process.memory_info().rss / 1e6 for process in service.tree()]
    return cpu_seconds([service]), memory


def _cpu_of_children() -> float:
    """Return the CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answers(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        with suppress(URLError, ConnectionError), urlopen(url, timeout=_SECONDS) as response:
            return bool(response.status == 200)
        return False

    return answers
