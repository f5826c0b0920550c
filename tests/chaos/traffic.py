"""The writes of the org's users: bursts of single changes, and transactions on several objects."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.simulator.process import SimulatorProcess

STEP_SECONDS = 0.25
#: Mostly updates, so that a record has many changes.
MIX = {
    **{"create": 10, "update": 60, "clear": 8, "delete": 8, "undelete": 6},
    **{"update_many": 6, "update_split": 2},
}
ENTITIES = {"Account": 3, "Contact": 4, "Opportunity": 3}
#: Only the transactions write to this one, so that they know what is there.
OWN = "Employee__c"


class Traffic(threading.Thread):
    """Publishes at least `changes` changes, evenly over `seconds`.

    `failure` is the reason if it ended early.
    """

    def __init__(self, org: SimulatorProcess, seed: int, changes: int, seconds: float) -> None:
        super().__init__(name="traffic", daemon=True)
        self.published = 0
        self.failure = ""
        self._org = org
        self._rng = random.Random(f"traffic {seed}")
        self._wanted = changes
        self._seconds = seconds
        self._live: list[str] = []
        self._deleted: list[str] = []

    def run(self) -> None:
        try:
            self._publish()
        except Exception as error:
            self.failure = f"the traffic ended early: {error!r}"

    def _publish(self) -> None:
        started = time.monotonic()
        while self.published < self._wanted:
            passed = time.monotonic() - started
            due = min(self._wanted, int(self._wanted * passed / self._seconds) + 1)
            if due > self.published:
                self.published += self._transaction()
            if due > self.published:
                self.published += self._burst(due - self.published)
            time.sleep(STEP_SECONDS)

    def _burst(self, missing: int) -> int:
        # A change of many records is one event of several changes.
        body = {"count": max(1, int(missing / 1.8)), "mix": MIX, "entities": ENTITIES}
        return int(self._org.post("bursts", quiet=True, **body)["changes"])

    def _transaction(self) -> int:
        """Write creations and, once there are enough records, an update of several, a deletion and
        an undeletion in one transaction. Returns the number of changes."""
        changes = [
            {"op": "create", "entity": "Account", "fields": {"Name": self._text()}},
            {
                "op": "create",
                "entity": OWN,
                "records": [{"Name": self._text()}, {"Name": self._text()}],
            },
            *self._edits(),
        ]
        answer = self._org.post("changes", changes=changes)
        for event in answer["events"]:
            header = event["header"]
            if (header["entityName"], header["changeType"]) == (OWN, "CREATE"):
                self._live += header["recordIds"]
        return int(answer["changes"])

    def _edits(self) -> list[dict[str, Any]]:
        rng, edits = self._rng, []
        if len(self._live) > 20:
            chosen = rng.sample(self._live, rng.randint(1, 8))
            edits.append(_on("update", chosen, fields={"Name": self._text()}))
            victim = self._live.pop(rng.randrange(len(self._live)))
            edits.append(_on("delete", [victim]))
            self._deleted.append(victim)
        if len(self._deleted) > 5:
            saved = self._deleted.pop(rng.randrange(len(self._deleted) - 1))
            edits.append(_on("undelete", [saved]))
            self._live.append(saved)
        return edits

    def _text(self) -> str:
        return f"Name {self._rng.getrandbits(40):x}"


def _on(op: str, record_ids: list[str], **more: Any) -> dict[str, Any]:
    return {"op": op, "entity": OWN, "record_ids": record_ids, **more}
