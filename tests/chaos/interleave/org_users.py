"""The writes of the org's users to some accounts: edits, deletes, undeletes, changes in bulk."""

from __future__ import annotations

import random
from typing import Any

from tests.simulator.control_client import ControlClient

ENTITY = "Account"
# None of them is cleared by itself: the simulator's REST API does not return null parts.
_CITIES = ("Ulm", "Bonn", "Köln", None)
_LONG = "A line of a long description.\n" * 40


class OrgUsers:
    """Writes random changes; `changes` counts them, one for each record of each event."""

    def __init__(self, org: ControlClient, rng: random.Random, records: int) -> None:
        self.changes = 0
        self._org = org
        self._rng = rng
        self._live = org.create(ENTITY, *({"Name": f"Account {n}"} for n in range(records)))
        self._deleted: list[str] = []
        self.changes += records

    def write(self) -> None:
        """Write one random transaction."""
        drawn = self._rng.random()
        if drawn < 0.07 and self._live:
            self._move(self._live, self._deleted, self._org.delete)
        elif drawn < 0.13 and self._deleted:
            self._move(self._deleted, self._live, self._org.undelete)
        elif self._live:
            self._edit(drawn)

    def restore_some(self) -> None:
        """Undelete half of the Recycle Bin, so that live and deleted records remain to compare."""
        for _ in range(len(self._deleted) // 2):
            self._move(self._deleted, self._live, self._org.undelete)

    def _move(self, source: list[str], target: list[str], change: Any) -> None:
        record_id = source.pop(self._rng.randrange(len(source)))
        change(ENTITY, record_id)
        target.append(record_id)
        self.changes += 1

    def _edit(self, drawn: float) -> None:
        number = self._rng.randint(2, 8) if drawn > 0.95 else 1
        chosen = self._rng.sample(self._live, min(number, len(self._live)))
        if drawn < 0.16:
            self._count(self._org.gap("GAP_UPDATE", ENTITY, chosen, apply=True, **self._fields()))
        elif drawn < 0.19:
            self._count(self._edit_text(chosen))
        else:
            self._count(self._org.update(ENTITY, chosen, **self._fields()))

    def _edit_text(self, chosen: list[str]) -> dict[str, Any]:
        text = f"{_LONG}{self._rng.getrandbits(40):x}"
        change = {
            "op": "update",
            "entity": ENTITY,
            "record_ids": chosen,
            "fields": {"Description": text},
        }
        return self._org.change({**change, "diff_fields": ["Description"]})

    def _count(self, answer: dict[str, Any]) -> None:
        self.changes += int(answer["changes"])

    def _fields(self) -> dict[str, Any]:
        rng = self._rng
        possible: dict[str, Any] = {
            "Name": f"Name {rng.getrandbits(30):x}",
            "Phone": rng.choice([None, f"+49 {rng.randrange(10**6)}"]),
            "Website": rng.choice([None, f"https://{rng.getrandbits(30):x}.example"]),
            "NumberOfEmployees": rng.choice([None, rng.randrange(10**5)]),
            "Industry": rng.choice([None, "Energy", "Banking"]),
            "BillingAddress": {
                "Street": f"Street {rng.randrange(1000)}",
                "City": rng.choice(_CITIES),
            },
        }
        names = rng.sample(sorted(possible), rng.randint(1, 4))
        return {name: possible[name] for name in names}
