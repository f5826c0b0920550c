"""The demo's counts of changes, and whether all of them were recorded and handled."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from audit.models import AuditLogEntry
from handlers.models import Delivery
from listeners.salesforce.http.request import NoAuth

#: The handler that gets each change once.
HANDLER = "handlers.log_change"


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of record changes; `sent` is how many the org published.

    `failed` and `waiting` count deliveries to mirrors and to handlers that run after them too.
    """

    sent: int
    recorded: int
    handled: int
    failed: int
    waiting: int
    last: str = ""

    @property
    def is_complete(self) -> bool:
        return self.recorded == self.sent and self.waiting == 0

    @property
    def is_perfect(self) -> bool:
        return self.is_complete and self.failed == 0 and self.handled == self.recorded > 0

    def line(self, seconds: float, mirrored: str) -> str:
        return (
            f"{seconds:5.0f} s   received {self.sent}   recorded {self.recorded}   "
            f"handled {self.handled}   failed {self.failed}   waiting {self.waiting}   "
            f"{mirrored}   {self.last}"
        )


def read(simulator: str) -> Score:
    """Return the current score. An event counts once for each record id in its header."""
    state = requests.get(
        f"{simulator}/_simulator/state", params={"records": 0}, auth=NoAuth(), timeout=30
    ).json()
    sent = sum(len(event["header"]["recordIds"]) for event in state["events"])
    # First: what is recorded afterwards would be missing from the counts of deliveries.
    recorded = AuditLogEntry.objects.count()
    counts = Delivery.objects.counts()
    handled = Delivery.objects.filter(handler=HANDLER, state=Delivery.State.SUCCEEDED)
    latest = AuditLogEntry.objects.order_by("-id").first()
    return Score(
        sent=sent,
        recorded=recorded,
        handled=handled.count(),
        failed=counts.get("dead", 0),
        waiting=sum(counts.get(state, 0) for state in Delivery.UNENDED),
        last=str(latest or ""),
    )
