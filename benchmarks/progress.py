"""Queries the product's progress ten times a second, with cheap statements: on two cores expensive
ones would slow down the processes that are measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from benchmarks.databases import Database
from tests.chaos.services import Service

PAUSE_SECONDS = 0.1
_SUBSCRIBED = '"subscribed"'
_START_SECONDS = 120.0
_NEWEST = "SELECT coalesce(max(id), 0) FROM audit_auditlogentry"
#: Queried one at a time: each state has a partial index, a query of all would scan the table.
_UNENDED = ("ready", "queued", "running", "blocked", "retrying")
_OF_STATE = "FROM handlers_delivery WHERE state = '{}'"


class Recorded:
    """Counts the entries added to the audit log since this object was made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before = self._newest()
        self._held = 0

    def _newest(self) -> int:
        return int(self._database.row(_NEWEST)[0])

    @property
    def count(self) -> int:
        """The number of entries by their ids, an upper bound: a rolled-back batch uses ids too."""
        return self._newest() - self._before

    def _holds(self, changes: int) -> bool:
        """Return whether `changes` entries exist. They are counted once the ids suffice, and not
        again once they were found."""
        if self._held < changes <= self.count:
            self._held = self._entries()
        return self._held >= changes

    def _entries(self) -> int:
        since = f"FROM audit_auditlogentry WHERE id > {self._before}"
        return int(self._database.row(f"SELECT count(*) {since}")[0])

    def counts(self) -> tuple[int, int, int]:
        """Return the exact numbers of entries, published deliveries and succeeded deliveries."""
        since = f"FROM handlers_delivery WHERE entry_id > {self._before} AND state"
        published, succeeded = self._database.row(
            f"SELECT (SELECT count(*) {since} NOT IN ('ready', 'blocked')), "
            f"(SELECT count(*) {since} = 'succeeded')"
        )
        return self._entries(), published, succeeded

    def unended(self) -> int:
        """Return the number of deliveries that have not ended."""
        counts = (f"(SELECT count(*) {_OF_STATE.format(state)})" for state in _UNENDED)
        return int(self._database.row(f"SELECT {' + '.join(counts)}")[0])

    # What is recorded is asked first, or the last change could be recorded between the questions.
    def is_published(self, changes: int) -> bool:
        return self._holds(changes) and not self._is_one_in("ready")

    def is_handled(self, changes: int) -> bool:
        return self._holds(changes) and not self._is_one_in(*_UNENDED)

    def _is_one_in(self, *states: str) -> bool:
        parts = (f"EXISTS (SELECT 1 {_OF_STATE.format(state)})" for state in states)
        return bool(self._database.row(f"SELECT {' OR '.join(parts)}")[0])


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until the condition holds, and return that moment in seconds since 1970."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {seconds:.0f} s waiting for {what}")
        time.sleep(PAUSE_SECONDS)
    return time.time()


def wait_for_subscription(listener: Service) -> float:
    """Wait until the listener has subscribed, and return the CPU seconds of its start."""
    wait_for(lambda: _SUBSCRIBED in listener.log.read_text(), _START_SECONDS, "the subscription")
    return cpu_seconds([listener])


def cpu_seconds(services: Iterable[Service]) -> float:
    """Return the CPU seconds that the services' processes have used."""
    processes = [process for service in services for process in service.tree()]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def subscribed_at(listener: Service) -> float:
    """Return when Salesforce first accepted the subscription, by the listener's log."""
    for line in listener.log.read_text().splitlines():
        if _SUBSCRIBED in line:
            return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
    raise RuntimeError(f"the listener did not subscribe: {listener.log.read_text()[-2000:]}")
