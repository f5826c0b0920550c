"""What waits and what has failed for good, by listener; cheap however much has succeeded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from audit.models import AuditLogEntry
from handlers.models import Delivery

#: Of each state, of all listeners together, counted no further.
COUNTED = 10_000
#: What an operator looks for: not yet ended, or ended badly.
STATES = (*Delivery.UNENDED, Delivery.State.DEAD)
#: Of those whose mapping was deleted, for so many it is looked up whose they are.
_LOOKED_UP = 1000


@dataclass
class Backlog:
    by_listener: dict[int, Counter[str]] = field(default_factory=dict)
    #: Of all listeners together.
    totals: Counter[str] = field(default_factory=Counter)
    #: States of which there are more than were counted.
    capped: set[str] = field(default_factory=set)

    def of(self, listener_id: int) -> Counter[str]:
        return self.by_listener.get(listener_id, Counter())

    def shown(self, count: int, state: str) -> str:
        return f"{count:,}+" if state in self.capped else f"{count:,}"

    def count(self, listener_id: int, state: str) -> None:
        self.by_listener.setdefault(listener_id, Counter())[state] += 1


def backlog() -> Backlog:
    """One query for each state, which has a partial index, and through the mapping, of which there
    are few: joined with the entries, a database may read all of them."""
    found = Backlog()
    orphans: dict[int, list[str]] = {}
    for state in STATES:
        waiting = Delivery.objects.filter(state=state).order_by()
        rows = list(waiting.values_list("mapping__listener_id", "entry_id")[: COUNTED + 1])
        if len(rows) > COUNTED:
            found.capped.add(state.value)
        for listener_id, entry_id in rows[:COUNTED]:
            found.totals[state.value] += 1
            if listener_id is not None:
                found.count(listener_id, state.value)
            elif len(orphans) < _LOOKED_UP:
                orphans.setdefault(entry_id, []).append(state.value)
    _look_up(orphans, found)
    return found


def _look_up(orphans: dict[int, list[str]], found: Backlog) -> None:
    """Whose they are whose mapping was deleted."""
    entries = AuditLogEntry.objects.filter(pk__in=orphans).order_by()
    for pk, listener_id in entries.values_list("pk", "listener_id"):
        for state in orphans[pk]:
            found.count(listener_id, state)
