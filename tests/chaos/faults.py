"""The faults of a run, injected as they happen in production."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import psutil
import requests

from tests.chaos.org_faults import ASKED
from tests.chaos.plan import Fault
from tests.chaos.services import Service, tell
from tests.chaos.stage import Stage

#: The longest wait for the simulator's answer to the harness.
ANSWER_SECONDS = 60
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
    stage.pubsub_relay.cut(fault.seconds)


def _cut_pubsub(stage: Stage, fault: Fault) -> None:
    stage.pubsub_relay.cut(fault.seconds)


def _cut_database(stage: Stage, fault: Fault) -> None:
    stage.database_relay.cut(fault.seconds)


def _flush_broker(stage: Stage, _: Fault) -> None:
    stage.broker.flush()


def _kill_broker(stage: Stage, _: Fault) -> None:
    stage.broker.kill()
    stage.broker.start()


def _restart_database(stage: Stage, _: Fault) -> None:
    stage.database.restart()


def _at_the_org(kind: str) -> Inject:
    route, body = ASKED[kind]

    def inject(stage: Stage, _: Fault) -> None:
        if not _still_waits(stage, body):
            url = f"{stage.org.url}/_simulator/{route}"
            requests.post(url, json=body, timeout=ANSWER_SECONDS).raise_for_status()

    return inject


def _still_waits(stage: Stage, body: Mapping[str, object]) -> bool:
    """Return whether an equal fault is still pending at the org. Further ones would come in a row,
    and after three refused logins a listener stops until an operator acts."""
    limits = {"events": 0, "records": 0}
    state = requests.get(
        f"{stage.org.url}/_simulator/state", params=limits, timeout=ANSWER_SECONDS
    ).json()
    asked = {name: value for name, value in body.items() if name != "times"}
    return any(asked.items() <= fault.items() for fault in state["faults"])


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
    **{kind: _at_the_org(kind) for kind in ASKED},
    "cut off the Pub/Sub API": _cut_pubsub,
}


class Faults:
    """Injects faults side by side, counts them, and keeps its own failures."""

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
        """Wait for the last fault, and remove the org's pending ones."""
        for thread in self._threads:
            thread.join(600)
        requests.delete(f"{self._stage.org.url}/_simulator/faults", timeout=ANSWER_SECONDS)
