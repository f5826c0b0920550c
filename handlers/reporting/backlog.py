"""Unended and dead deliveries by listener. The cost does not grow with the succeeded ones."""

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
#: The most deliveries that are counted of each state, over all listeners.
COUNTED = 10_000
#: The states of unended and dead deliveries.
STATES = (*Delivery.UNENDED, State.DEAD)
#: The most entries without a mapping whose listener is looked up.
_LOOKED_UP = 1000
_OF_A_PART = """
SELECT %s, mapping_id, CASE WHEN mapping_id IS NULL THEN entry_id END AS orphan, COUNT(*)
FROM (:rows) AS counted GROUP BY mapping_id, orphan
"""


@dataclass
class Backlog:
    by_listener: dict[int, Counter[str]] = field(default_factory=dict)
    #: Numbers by state, over all listeners.
    totals: Counter[str] = field(default_factory=Counter)
    #: States with more deliveries than were counted.
    capped: set[str] = field(default_factory=set)

    def of(self, listener_id: int) -> Counter[str]:
        return self.by_listener.get(listener_id, Counter())

    def shown(self, count: int, state: str) -> str:
        return f"{count:,}+" if state in self.capped else f"{count:,}"

    def count(self, listener_id: int, state: str, number: int = 1) -> None:
        self.by_listener.setdefault(listener_id, Counter())[state] += number


def backlog() -> Backlog:
    """Return the backlog. Three queries.

    Deliveries are grouped by mapping, since a join with the entries may read all of them.
    """
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
    """Return up to `most` rows, by default one more than is counted, for `counted`."""
    limit = COUNTED + 1 if most is None else most
    return rows.order_by().values("mapping_id", "entry_id")[:limit]


def counted(parts: Iterable[QuerySet[Any]]) -> list[tuple[int, int | None, int | None, int]]:
    """Count the rows of each part by mapping, or by entry where the mapping was deleted.

    Return tuples (index of the part, mapping id, entry id, number). One query.
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
    """Add the deliveries whose mapping was deleted to the listeners of their entries."""
    entries = AuditLogEntry.objects.filter(pk__in=orphans).order_by()
    for pk, listener_id in entries.values_list("pk", "listener_id"):
        for state in orphans[pk]:
            found.count(listener_id, state)
