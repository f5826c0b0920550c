"""Tracked tasks of another project, beside tasks that Celery's `send_task` sends with the same two
callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.figures import Report, Target
from benchmarks.org import org_with
from benchmarks.progress import (
    Recorded,
    cpu_seconds,
    subscribed_at,
    wait_for,
    wait_for_subscription,
)
from benchmarks.shop import QUEUE, REPORTS, TASK
from benchmarks.stage import START_SECONDS, Run, Stage, configure, listener_yaml
from benchmarks.turns import Measured, Turns, Way, measured
from tests.chaos.brokers import Broker, RabbitMQ, Valkey
from tests.chaos.services import Service, wait_until_logged
from tests.simulator.process import SimulatorProcess

WORKERS = 2
_SECONDS = 1800.0
_SHARE = 0.6
_WORKER = ("-m", "celery", "-A", "benchmarks.shop", "worker", "-l", "INFO", "-c", "1")
_MAPPING = f"task: {TASK}, queue: {QUEUE}, destination: shop, report_timeout: 600"


def measure(stage: Stage, report: Report, transport: str, changes: int, runs: int) -> None:
    """Measure product and Celery by turns, from the first message until the last report."""
    conditions = stage.conditions
    tracked, sent = f"tracked external tasks, {conditions}", f"send_task, {conditions}"
    with org_with(changes) as org:
        ways: dict[str, Way] = {
            tracked: partial(product, transport, org, changes),
            sent: partial(send_task, changes),
        }
        turns = Turns(stage, report, ways)
        turns.run(runs)
    rates = turns.rates()

    def targets(name: str) -> tuple[Target, ...]:
        if name != tracked or sent not in rates:
            return ()
        return (Target.share_of(rates[sent], _SHARE, f"{_SHARE} of send_task"),)

    turns.conclude(targets)


def product(transport: str, org: SimulatorProcess, changes: int, run: Run) -> Measured:
    """Measure changes per second from the subscription until all ends are reported and settled."""
    with _shop(run) as (broker, workers):
        listeners = listener_yaml(org, transport, _MAPPING)
        configure(run, org, listeners, destination=broker.url)
        recorded = Recorded(run.database)
        before = cpu_seconds(workers)
        listener = run.listener()
        before += wait_for_subscription(listener)
        of_database = run.database_cpu()
        ended = wait_for(lambda: recorded.is_handled(changes), _SECONDS, "the end of all tasks")
        if (counts := recorded.counts()) != (changes, changes, changes):
            raise RuntimeError(f"of {changes}: {counts} recorded, published, succeeded")
        cpu = cpu_seconds([*workers, listener]) - before
        of_database = run.database_cpu() - of_database
        return measured(changes, ended - subscribed_at(listener), cpu, of_database)


def send_task(changes: int, run: Run) -> Measured:
    """Tasks a second that one process sends while the same workers run them, until the last one
    is reported."""
    with _shop(run) as (broker, workers):
        before = cpu_seconds(workers)
        said = json.loads(run.python("-m", "benchmarks.send_external", str(changes)))
        wait_for(lambda: broker.depth(REPORTS) >= changes, _SECONDS, "the end of all tasks")
        seconds = time.time() - said["began"]
        return measured(changes, seconds, cpu_seconds(workers) - before + said["cpu"], 0)


@contextmanager
def _shop(run: Run) -> Iterator[tuple[Broker, list[Service]]]:
    """The other project's broker, of the same kind as the product's, and its workers, which are
    up."""
    kind = RabbitMQ if isinstance(run.broker, RabbitMQ) else Valkey
    broker: Broker = kind(run.folder / "shop")
    broker.start()
    try:
        run.environment["SHOP_BROKER"] = broker.url
        workers = [_worker(run, f"shop{number}") for number in range(1, WORKERS + 1)]
        wait_until_logged(workers, "ready.", START_SECONDS)
        broker.declare(REPORTS)
        yield broker, workers
    finally:
        run.stop()
        broker.kill()


def _worker(run: Run, name: str) -> Service:
    environment = {"SHOP_BROKER": run.environment["SHOP_BROKER"]}
    log = run.folder / f"{name}.log"
    service = Service(name, [*_WORKER, "-n", f"{name}@bench"], environment, log)
    run.services.append(service)
    return service
