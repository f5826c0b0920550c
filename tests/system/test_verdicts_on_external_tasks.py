"""The checker of `python -m tests.chaos.external` on small histories made by hand."""

import json
import sqlite3
from datetime import UTC, datetime
from operator import itemgetter

import pytest

from tests.chaos.external.effects import Log
from tests.chaos.external.stage import FLUSH, KILL, RESTART, Fault
from tests.chaos.external.verify import Timing, verify
from tests.chaos.mirror.database import Database

pytestmark = pytest.mark.anywhere

TIMEOUT = 30
_TABLES = """
CREATE TABLE audit_auditlogentry (id, transaction_key, sequence_number, record_id, change_type);
CREATE TABLE handlers_delivery (
    id, entry_id, state, attempts, attempts_before, started_at, finished_at
);
CREATE TABLE handlers_deliveryattempt (delivery_id, number, outcome, started_at, finished_at);
"""


class History:
    """Two changes of one record, and a log of the faults, the runs and the attempts."""

    def __init__(self, folder) -> None:
        self._path = folder / "cdc.sqlite3"
        self._effects = folder / "effects.jsonl"
        self._lines: list[dict[str, object]] = []
        self._faults: list[Fault] = []
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.executescript(_TABLES)
        for number in (1, 2):
            entry = (number, "key", number, "001", "UPDATE")
            self._insert("audit_auditlogentry", *entry)
            self._insert("handlers_delivery", number, number, "succeeded", 1, 0, None, None)

    def _insert(self, table, *values) -> None:
        marks = ", ".join("?" * len(values))
        self._database.execute(f"INSERT INTO {table} VALUES ({marks})", values)

    def run(self, delivery, attempt, at, outcome="success", pid=7) -> None:
        """A run of one second; without an outcome it was killed."""
        about = {
            "task": f"delivery-{delivery}-{attempt}",
            "pid": pid,
            "entry": delivery,
            "record": "001",
            "transaction": "key",
            "number": delivery,
        }
        self._lines.append({"what": "start", "at": at, **about})
        if outcome:
            self._lines.append({"what": outcome, "at": at + 1.0, **about})

    def attempt(self, delivery, number, outcome, at, until=None) -> None:
        moments = [datetime.fromtimestamp(s, UTC).isoformat(" ") for s in (at, until or at + 2)]
        has_row = number > 1 or outcome != "succeeded"
        if has_row:
            self._insert("handlers_deliveryattempt", delivery, number, outcome, *moments)
        changed = """
            UPDATE handlers_delivery SET attempts = ?, started_at = ?, finished_at = ? WHERE id = ?
        """
        self._database.execute(changed, [number, *([None, None] if has_row else moments), delivery])

    def succeed(self, delivery, attempt, at) -> None:
        self.run(delivery, attempt, at)
        self.attempt(delivery, attempt, "succeeded", at)

    def fault(self, kind, at, *pids) -> None:
        self._faults.append(Fault(kind, at, at, frozenset(pids)))

    def violations(self) -> set[str]:
        lines = sorted(self._lines, key=itemgetter("at"))
        self._effects.write_text("".join(json.dumps(line) + "\n" for line in lines))
        header = {"transactionKey": "key", "changeType": "UPDATE", "recordIds": ["001"]}
        events = [{"header": {**header, "sequenceNumber": number}} for number in (1, 2)]
        timing = Timing(self._faults, TIMEOUT)
        verdict = verify(Database(self._path), events, Log.read(self._effects), timing)
        return {kind for kind, found in verdict.violations.items() if found}

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def history(tmp_path):
    made = History(tmp_path)
    yield made
    made.close()


def test_one_run_of_each_in_order_is_right(history):
    history.succeed(1, 1, at=0)
    history.succeed(2, 1, at=10)

    assert history.violations() == set()


def test_a_run_before_the_previous_change_succeeded_is_out_of_order(history):
    history.run(2, 1, at=0)
    history.succeed(1, 1, at=5)
    history.attempt(2, 1, "succeeded", at=0)

    assert history.violations() == {"out of order"}


def test_a_run_between_the_attempts_of_the_previous_change_is_out_of_order(history):
    """The first one's report was lost, so that its success was not known yet."""
    history.run(1, 1, at=0)
    history.fault(FLUSH, 20)
    history.attempt(1, 1, "unknown", at=0, until=31)
    history.succeed(2, 1, at=31.5)
    history.succeed(1, 2, at=40)

    assert history.violations() == {"out of order"}


def test_an_attempt_that_begins_after_a_later_change_has_run_is_out_of_order(history):
    """A task that waited in the queue past its deadline must expire."""
    history.fault(FLUSH, 0)
    history.attempt(1, 1, "unknown", at=0, until=31)
    history.succeed(1, 2, at=32)
    history.succeed(2, 1, at=40)
    history.run(1, 1, at=50)

    assert "out of order" in history.violations()


def test_a_message_that_a_killed_worker_had_not_acknowledged_may_run_again_late(history):
    history.succeed(1, 1, at=0)
    history.succeed(2, 1, at=1.5)
    history.fault(KILL, 2, 7)
    history.run(1, 1, at=10)

    assert history.violations() == set()


def test_a_fault_between_two_runs_is_a_reason_for_the_second(history):
    history.run(1, 1, at=0)
    history.fault(FLUSH, 20)
    history.attempt(1, 1, "unknown", at=0, until=31)
    history.succeed(1, 2, at=32)
    history.succeed(2, 1, at=50)

    assert history.violations() == set()


@pytest.mark.parametrize("kind", [FLUSH, KILL])
def test_a_fault_long_before_the_first_run_is_no_excuse(history, kind):
    history.fault(kind, 0, *([7] if kind == KILL else []))
    history.run(1, 1, at=100)
    history.attempt(1, 1, "unknown", at=100, until=131)
    history.succeed(1, 2, at=132)
    history.succeed(2, 1, at=150)

    assert history.violations() == {"handled twice", "unknown without a fault"}


def test_a_killed_worker_excuses_its_last_run_only(history):
    history.run(1, 1, at=0, pid=7)
    history.fault(KILL, 25, 7)
    history.attempt(1, 1, "unknown", at=0, until=31)
    history.succeed(1, 2, at=32)
    history.succeed(2, 1, at=50)

    assert history.violations() == {"handled twice"}


def test_an_outcome_that_the_log_does_not_have_is_wrong(history):
    history.run(1, 1, at=0, outcome="failure")
    history.attempt(1, 1, "succeeded", at=0)
    history.succeed(2, 1, at=10)

    assert history.violations() == {
        "a success that was none",
        "succeeded without a run that did",
    }


def test_a_report_after_the_deadline_is_late_and_not_lost(history):
    history.run(1, 1, at=TIMEOUT + 1)
    history.attempt(1, 1, "unknown", at=0, until=TIMEOUT)
    history.succeed(1, 2, at=TIMEOUT + 3)
    history.succeed(2, 1, at=TIMEOUT + 6)

    assert history.violations() == set()


def test_a_task_fails_that_could_not_report_its_success_while_the_broker_restarted(history):
    history.run(1, 1, at=0)
    history.fault(RESTART, 1)
    history.attempt(1, 1, "failed", at=0, until=5)
    history.succeed(1, 2, at=6)
    history.succeed(2, 1, at=20)

    assert history.violations() == set()


def test_a_failure_of_a_task_that_succeeded_is_wrong(history):
    history.run(1, 1, at=0)
    history.fault(RESTART, 100)
    history.attempt(1, 1, "failed", at=0, until=5)
    history.succeed(1, 2, at=6)
    history.succeed(2, 1, at=20)

    assert history.violations() == {"a failure that was none", "handled twice"}
