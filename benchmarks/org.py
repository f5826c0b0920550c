"""The simulated org's changes: Accounts, each changed once, so that no change waits for another, or
each changed many times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.process import SimulatorProcess

CHANNEL = "/data/ChangeEvents"
ACCOUNTS = {"Account": 1}
CREATES = {"create": 1}
_CHUNK = 500
#: The size of the transactions of a small data load.
_UPDATES_OF_A_TRANSACTION = 10


@contextmanager
def org_with(changes: int) -> Iterator[SimulatorProcess]:
    """Run an org where `changes` wait: creations of 18 fields and updates of 4 by turns."""
    with _keeping(changes) as org:
        fill(org, changes)
        yield org


@contextmanager
def org_with_chains(changes: int, length: int) -> Iterator[SimulatorProcess]:
    """Run an org where `changes` updates wait, `length` for each record, all records by turns."""
    with _keeping(changes) as org:
        records = list(_created(org, changes // length))
        org.fault("age_out")
        for start in range(0, changes, len(records)):
            _update(org, records, start)
        yield org


def _keeping(changes: int) -> SimulatorProcess:
    """Return an org that retains `changes` changes and the creations before them."""
    options = ("--seed", "1", "--retention-events", str(max(2 * changes, 1000)))
    return SimulatorProcess(*options, grpc=True)


def fill(org: SimulatorProcess, changes: int) -> None:
    """Fill the org's event log with `changes`, half of them updates of records created earlier."""
    updates = changes // 2
    known = list(_created(org, updates))
    org.fault("age_out")
    for start in range(0, updates, _CHUNK):
        chosen = known[start : start + _CHUNK]
        create(org, len(chosen))
        _update(org, chosen, start)
    create(org, changes - 2 * updates)


def create(org: SimulatorProcess, count: int) -> None:
    """Create `count` Accounts, one change each."""
    if count:
        org.burst(count, mix=CREATES, entities=ACCOUNTS, quiet=True)


def _created(org: SimulatorProcess, count: int) -> Iterator[str]:
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        yield from org.burst(size, mix=CREATES, entities=ACCOUNTS)["record_ids"]


def _update(org: SimulatorProcess, record_ids: list[str], first: int) -> None:
    step = _UPDATES_OF_A_TRANSACTION
    for start in range(0, len(record_ids), step):
        chosen = enumerate(record_ids[start : start + step], first + start)
        org.change(*(_change(record_id, number) for number, record_id in chosen))


def _change(record_id: str, number: int) -> dict[str, Any]:
    fields = {
        "Phone": f"+1 415 556 {number:07d}",
        "Description": f"Renewal {number} is at risk: the champion left.",
        "AnnualRevenue": 1000.5 + number,
        "NumberOfEmployees": 3 + number % 9000,
    }
    return {"op": "update", "entity": "Account", "record_ids": [record_id], "fields": fields}
