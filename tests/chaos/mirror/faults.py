"""Faults of a run: kills, pauses, cut connections, and the org's broken answers."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.chaos.mirror.database import Errors
from tests.chaos.mirror.stage import Stage
from tests.chaos.plan import Fault
from tests.chaos.services import Service, tell

Inject = Callable[[Stage, Fault], None]
_RUNNING = "SELECT count(*) FROM mirror_mirrorrun WHERE state = 'running'"


def _chosen(services: list[Service], fault: Fault) -> Service:
    return services[int(fault.pick * len(services))]


def _kill(service: Service) -> None:
    for process in service.tree():
        tell(process, signal.SIGKILL)


def _kill_listener(stage: Stage, fault: Fault) -> None:
    _kill(_chosen(stage.listeners, fault))


def _kill_worker(stage: Stage, fault: Fault) -> None:
    _kill(_chosen(stage.workers, fault))


def _kill_child(stage: Stage, fault: Fault) -> None:
    for process in _chosen(stage.workers, fault).tree()[1:]:
        tell(process, signal.SIGKILL)


def _kill_loader(stage: Stage, _: Fault) -> None:
    """Kill all workers while one of them loads or verifies a mirror."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not _has_run(stage):
        time.sleep(0.05)
    for service in stage.workers:
        _kill(service)


def _has_run(stage: Stage) -> bool:
    try:
        return bool(stage.database.number(_RUNNING))
    except Errors:
        return False


def _freeze(services: list[Service], fault: Fault) -> None:
    processes = _chosen(services, fault).tree()
    for process in processes:
        tell(process, signal.SIGSTOP)
    time.sleep(3 + 6 * fault.pick)
    for process in processes:
        tell(process, signal.SIGCONT)


def _freeze_worker(stage: Stage, fault: Fault) -> None:
    """Freeze a worker for longer than its claims last."""
    _freeze(stage.workers, fault)


def _freeze_listener(stage: Stage, fault: Fault) -> None:
    _freeze(stage.listeners, fault)


def _cut_org(stage: Stage, fault: Fault) -> None:
    stage.org_relay.cut(2 * fault.pick)


def _cut_database(stage: Stage, fault: Fault) -> None:
    if not stage.is_sqlite:
        stage.database_relay.cut(2 * fault.pick)


def _kill_broker(stage: Stage, _: Fault) -> None:
    stage.broker.kill()
    stage.broker.start()


def _lose_events(stage: Stage, fault: Fault) -> None:
    """Age out all events and kill the listener, so that its position is lost when it returns."""
    stage.org.fault("age_out", forget=True)
    _kill_listener(stage, fault)


def _at_the_org(kind: str, **options: Any) -> Inject:
    def inject(stage: Stage, _: Fault) -> None:
        stage.org.fault(kind, **options)

    return inject


KINDS: Mapping[str, Inject] = {
    "kill the listener": _kill_listener,
    "kill a worker": _kill_worker,
    "kill a worker's child": _kill_child,
    "kill the loader": _kill_loader,
    "freeze a worker": _freeze_worker,
    "freeze the listener": _freeze_listener,
    "cut off Salesforce": _cut_org,
    "cut off the database": _cut_database,
    "kill the broker": _kill_broker,
    "lose the stream's events": _lose_events,
    "drop the sessions": _at_the_org("drop_sessions"),
    "revoke the tokens": _at_the_org("revoke_tokens"),
    "lose an answer": _at_the_org("close", events_only=True),
    "garble an answer": _at_the_org("malformed", events_only=True),
    "stick a query job": _at_the_org("job_stuck"),
    "fail a query job": _at_the_org("job_failed", error_message="Unable to process"),
    "count a query job wrong": _at_the_org("job_miscount"),
    "cut a page short": _at_the_org("short_page"),
    "cut off a page": _at_the_org("close", target="bulk"),
    "answer Bulk with 429": _at_the_org("http_status", target="bulk", status=429),
    "answer Bulk with 420": _at_the_org("http_status", target="bulk", status=420),
    "answer REST with 503": _at_the_org("http_status", target="rest", status=503, times=2),
    "time out a query": _at_the_org("rest_error", code="QUERY_TIMEOUT", channel="query"),
    "cut off REST": _at_the_org("close", target="rest"),
}


class Faults:
    """Injects faults side by side, counts them, and keeps its own failures."""

    def __init__(self, stage: Stage) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stage = stage
        self._threads: list[threading.Thread] = []
        self._broker = threading.Lock()

    def begin(self, fault: Fault) -> None:
        self.counts[fault.kind] += 1
        thread = threading.Thread(target=self._inject, args=(fault,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _inject(self, fault: Fault) -> None:
        try:
            with self._broker if "broker" in fault.kind else threading.Lock():
                KINDS[fault.kind](self._stage, fault)
        except Exception as error:
            self.failures.append(f"{fault.kind}: {error!r}")

    def end(self) -> None:
        """Wait for the last fault, and remove the org's pending ones."""
        for thread in self._threads:
            thread.join(60)
        self._stage.org.clear_faults()
