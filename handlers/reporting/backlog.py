"""Deliveries by listener and state, counted up to a limit: the cost does not grow with the log."""

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
#: The other states, which have no index of their own: counted among the newest deliveries.
ENDED = tuple(state for state in State if state not in STATES)
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


def backlog(limit: int | None = None, *, with_ended: bool = False) -> Backlog:
    """Return the unended and dead deliveries; `limit` is COUNTED unless given. Two queries.

    With the ended ones among the newest deliveries, one query more. They are all that have ended,
    if no more deliveries than the limit were recorded.

    Deliveries are grouped by mapping, since a join with the entries may read all of them.
    """
    limit = limit or COUNTED
    found = Backlog()
    listener_of = dict(HandlerMapping.with_deleted.order_by().values_list("pk", "listener_id"))
    states, parts = list(STATES), [Delivery.objects.filter(state=state) for state in STATES]
    if with_ended:
        ids = Delivery.objects.order_by("-id").values_list("pk", flat=True)
        [older] = list(ids[limit : limit + 1]) or [0]
        states += ENDED
        parts += [Delivery.objects.filter(state=state, pk__gt=older) for state in ENDED]
        found.capped.update(ENDED if older else ())
    for place, mapping_id, number in counted(parts, limit):
        state = states[place].value
        found.totals[state] += number
        if mapping_id in listener_of:  # else it was added since
            counts = found.by_listener.setdefault(listener_of[mapping_id], Counter())
            counts[state] += min(number, limit)
    for state, number in found.totals.items():
        if number > limit:
            found.totals[state] = limit
            found.capped.add(state)
    return found


def counted(parts: Iterable[QuerySet[Any]], limit: int | None = None) -> list[tuple[int, int, int]]:
    """Count the deliveries of each part by mapping, at most one more in a part than the limit.

    Return tuples (index of the part, mapping id, number). One query.
    """
    queries, values = [], []
    for place, rows in enumerate(parts):
        few = rows.order_by().values("mapping_id")[: (limit or COUNTED) + 1]
        inner, given = few.query.sql_with_params()
        queries.append(_OF_A_PART.replace(":rows", inner))
        values += [place, *given]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(queries), values)
        return list(cursor.fetchall())
