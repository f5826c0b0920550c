"""Unended and dead deliveries by listener. The cost does not grow with the succeeded ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from handlers.models import Delivery, HandlerMapping

State = Delivery.State
#: The most deliveries that are counted of each state, over all listeners.
COUNTED = 10_000
#: The states of unended and dead deliveries.
STATES = (*Delivery.UNENDED, State.DEAD)
_OF_A_PART = "SELECT %s, mapping_id, COUNT(*) FROM (:rows) AS counted GROUP BY mapping_id"


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


def backlog() -> Backlog:
    """Return the backlog. Two queries.

    Deliveries are grouped by mapping, since a join with the entries may read all of them.
    """
    found = Backlog()
    listener_of = dict(HandlerMapping.with_deleted.order_by().values_list("pk", "listener_id"))
    parts = [Delivery.objects.filter(state=state) for state in STATES]
    for place, mapping_id, number in counted(parts):
        state = STATES[place].value
        found.totals[state] += number
        if mapping_id in listener_of:  # else it was added since
            counts = found.by_listener.setdefault(listener_of[mapping_id], Counter())
            counts[state] += min(number, COUNTED)
    for state, number in found.totals.items():
        if number > COUNTED:
            found.totals[state] = COUNTED
            found.capped.add(state)
    return found


def counted(parts: Iterable[QuerySet[Any]]) -> list[tuple[int, int, int]]:
    """Count the deliveries of each part by mapping, at most one more in a part than COUNTED.

    Return tuples (index of the part, mapping id, number). One query.
    """
    queries, values = [], []
    for place, rows in enumerate(parts):
        few = rows.order_by().values("mapping_id")[: COUNTED + 1]
        inner, given = few.query.sql_with_params()
        queries.append(_OF_A_PART.replace(":rows", inner))
        values += [place, *given]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(queries), values)
        return list(cursor.fetchall())
