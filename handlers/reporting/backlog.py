"""What waits and what has failed for good, by listener; cheap however much has succeeded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping

State = Delivery.State
#: Of each state, of all listeners together, counted no further.
COUNTED = 10_000
#: What an operator looks for: not yet ended, or ended badly.
STATES = (*Delivery.UNENDED, State.DEAD)
#: Of those whose mapping was deleted, for so many it is looked up whose they are.
_LOOKED_UP = 1000
_OF_A_PART = """
SELECT %s, mapping_id, CASE WHEN mapping_id IS NULL THEN entry_id END AS orphan, COUNT(*)
FROM (:rows) AS counted GROUP BY mapping_id, orphan
"""


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

    def count(self, listener_id: int, state: str, number: int = 1) -> None:
        self.by_listener.setdefault(listener_id, Counter())[state] += number


def backlog() -> Backlog:
    """Three queries. By mapping, of which there are few: joined with the entries, a database may
    read all of them."""
    found = Backlog()
    listener_of = dict(HandlerMapping.with_deleted.order_by().values_list("pk", "listener_id"))
    orphans: dict[int, list[str]] = {}
    parts = [plain(Delivery.objects.filter(state=state)) for state in STATES]
    for place, mapping_id, entry_id, number in counted(parts):
        state = STATES[place].value
        found.totals[state] += number
        listener_id = listener_of.get(mapping_id) if mapping_id else None
        if listener_id is not None:
            found.count(listener_id, state, min(number, COUNTED))
        elif entry_id is not None and len(orphans) < _LOOKED_UP:
            orphans.setdefault(entry_id, []).append(state)
    for state, number in found.totals.items():
        if number > COUNTED:
            found.totals[state] = COUNTED
            found.capped.add(state)
    _look_up(orphans, found)
    return found


def plain(rows: QuerySet[Any], most: int | None = None) -> QuerySet[Any]:
    """So many of these, or as many as are counted and one more, as a partial index has them."""
    limit = COUNTED + 1 if most is None else most
    return rows.order_by().values("mapping_id", "entry_id")[:limit]


def counted(parts: Iterable[QuerySet[Any]]) -> list[tuple[int, int | None, int | None, int]]:
    """The part's place, mapping and how many; of what has no mapping any more, each with its entry.
    One query.

    The database counts: of 60,000 rows nothing but the numbers comes here.
    """
    queries, values = [], []
    for place, rows in enumerate(parts):
        inner, given = rows.query.sql_with_params()
        queries.append(_OF_A_PART.replace(":rows", inner))
        values += [place, *given]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(queries), values)
        return list(cursor.fetchall())


def _look_up(orphans: dict[int, list[str]], found: Backlog) -> None:
    """Whose they are whose mapping was deleted."""
    entries = AuditLogEntry.objects.filter(pk__in=orphans).order_by()
    for pk, listener_id in entries.values_list("pk", "listener_id"):
        for state in orphans[pk]:
            found.count(listener_id, state)
