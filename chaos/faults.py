"""The faults, each as it happens to those who run the product."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import psutil
import requests

from chaos.plan import Fault
from chaos.services import Service, tell
from chaos.stage import Stage

Inject = Callable[[Stage, Fault], None]


def _chosen(services: Sequence[Service], fault: Fault) -> Service:
    return services[int(fault.pick * len(services))]


def _kill_listener(stage: Stage, fault: Fault) -> None:
    for process in _chosen(stage.listeners, fault).tree()[:1]:
        tell(process, signal.SIGKILL)


def _kill_worker(stage: Stage, fault: Fault) -> None:
    for process in _chosen(stage.workers, fault).tree()[:1]:
        tell(process, signal.SIGKILL)


def _kill_child(stage: Stage, fault: Fault) -> None:
    for process in _chosen(stage.workers, fault).tree()[1:]:
        tell(process, signal.SIGKILL)


def _freeze(processes: Sequence[psutil.Process], seconds: float) -> None:
    for process in processes:
        tell(process, signal.SIGSTOP)
    time.sleep(seconds)
    for process in processes:
        tell(process, signal.SIGCONT)


def _freeze_listener(stage: Stage, fault: Fault) -> None:
    _freeze(_chosen(stage.listeners, fault).tree(), fault.seconds)


def _freeze_worker(stage: Stage, fault: Fault) -> None:
    _freeze(_chosen(stage.workers, fault).tree(), fault.seconds)


def _cut_salesforce(stage: Stage, fault: Fault) -> None:
    stage.org_relay.cut(fault.seconds)


def _cut_database(stage: Stage, fault: Fault) -> None:
    stage.database_relay.cut(fault.seconds)


def _flush_broker(stage: Stage, _: Fault) -> None:
    stage.broker.flush()


def _kill_broker(stage: Stage, _: Fault) -> None:
    stage.broker.kill()
    stage.broker.start()


def _restart_database(stage: Stage, _: Fault) -> None:
    stage.database.restart()


def _at_the_org(kind: str, **options: object) -> Inject:
    def inject(stage: Stage, _: Fault) -> None:
        url = f"{stage.org.url}/_simulator/faults"
        requests.post(url, json={"kind": kind, **options}, timeout=10).raise_for_status()

    return inject


UNKNOWN_CLIENT = "403::Unknown client"
KINDS: Mapping[str, Inject] = {
    "kill a listener": _kill_listener,
    "kill a worker": _kill_worker,
    "kill a worker's child": _kill_child,
    "freeze a listener": _freeze_listener,
    "freeze a worker": _freeze_worker,
    "cut off Salesforce": _cut_salesforce,
    "cut off the database": _cut_database,
    "flush the broker": _flush_broker,
    "kill the broker": _kill_broker,
    "restart the database": _restart_database,
    "revoke the tokens": _at_the_org("revoke_tokens"),
    "drop the sessions": _at_the_org("drop_sessions"),
    "answer with 503": _at_the_org("http_status", times=3),
    "refuse a token with 503": _at_the_org("http_status", target="token", times=2),
    "refuse a login": _at_the_org("refuse_login", times=1),
    "lose an answer": _at_the_org("close", events_only=True, times=2),
    "garble an answer": _at_the_org("malformed", events_only=True, times=2),
    "stall an answer": _at_the_org("stall", seconds=3.0, times=2),
    "be too busy": _at_the_org("too_busy", times=2),
    "limit connections": _at_the_org("connection_limit", times=1),
    "refuse a poll": _at_the_org(
        "meta_error", channel="/meta/connect", error=UNKNOWN_CLIENT, times=1
    ),
}


class Faults:
    """Injects faults beside one another; keeps count, and what went wrong with itself."""

    def __init__(self, stage: Stage) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stage = stage
        self._threads: list[threading.Thread] = []
        # Two at once would start it twice.
        self._servers = {
            "flush the broker": threading.Lock(),
            "restart the database": threading.Lock(),
        }
        self._servers["kill the broker"] = self._servers["flush the broker"]

    def begin(self, fault: Fault) -> None:
        self.counts[fault.kind] += 1
        thread = threading.Thread(target=self._inject, args=(fault,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _inject(self, fault: Fault) -> None:
        try:
            with self._servers.get(fault.kind, threading.Lock()):
                KINDS[fault.kind](self._stage, fault)
        except Exception as error:
            self.failures.append(f"{fault.kind}: {error!r}")

    def end(self) -> None:
        """Wait for the last one, and take back what the org was still told to do."""
        for thread in self._threads:
            thread.join(60)
        requests.delete(f"{self._stage.org.url}/_simulator/faults", timeout=10)
