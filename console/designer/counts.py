"""Counts of a listener's deliveries by mapping and state, and of its recent changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.reporting.backlog import COUNTED, counted

State = Delivery.State

#: Recent changes whose deliveries are counted.
RECENT = 1000
#: States counted by mapping, with the index `delivery_of_mapping`; others over all listeners.
_BY_MAPPING = (State.BLOCKED, State.RETRYING, State.DEAD)

#: Counts by state for each mapping; those of deleted mappings under None.
ByMapping = dict[int | None, Counter[str]]


@dataclass
class Waiting:
    by_mapping: ByMapping = field(default_factory=dict)
    #: States with more deliveries than were counted: their numbers are lower bounds.
    capped: set[str] = field(default_factory=set)

    def of(self, mapping_id: int | None) -> Counter[str]:
        return self.by_mapping.get(mapping_id, Counter())

    def total(self, state: str) -> int:
        return sum(counts[state] for counts in self.by_mapping.values())

    def shown(self, count: int, *states: str) -> str:
        more = "+" if self.capped.intersection(states) else ""
        return f"{min(count, COUNTED):,}{more}"

    def add(self, mapping_id: int | None, state: str, number: int) -> None:
        self.by_mapping.setdefault(mapping_id, Counter())[state] += number


def waiting(listener_id: int, mapping_ids: Collection[int]) -> Waiting:
    """Count the waiting and dead deliveries of a listener; two queries."""
    found = Waiting()
    deleted = HandlerMapping.with_deleted.deleted().filter(listener=listener_id).order_by()
    gone = set(deleted.values_list("pk", flat=True))
    parts = list(_parts(mapping_ids, gone))
    read: Counter[int] = Counter()
    for place, mapping_id, number in counted(rows for _, rows in parts):
        state = parts[place][0].value
        read[place] += number
        if mapping_id in gone:
            found.add(None, state, number)
        elif mapping_id in mapping_ids:
            found.add(mapping_id, state, number)
    found.capped = {parts[place][0].value for place in read if read[place] > COUNTED}
    return found


def _parts(
    mapping_ids: Collection[int], gone: Collection[int]
) -> Iterator[tuple[State, QuerySet[Any]]]:
    """Yield the queries to count, each with its state.

    Deleted mappings have queries of their own, so that they do not use up the counted rows of
    the others. Queries not by mapping count deliveries of all listeners.
    """
    rows = Delivery.objects.all()
    for state in _BY_MAPPING:
        for ids in filter(None, (mapping_ids, gone)):
            yield state, rows.filter(state=state, mapping__in=ids)
    if mapping_ids:
        paused = rows.filter(state=State.READY, paused=True, mapping__in=mapping_ids)
        yield State.READY, paused
    yield State.READY, rows.filter(state=State.READY, paused=False)
    for state in (State.QUEUED, State.RUNNING):
        yield state, rows.filter(state=state)


def newest(listener_id: int) -> QuerySet[Any]:
    """Return a listener's entries, newest first."""
    # A range over one listener, in an order that only the index `entry_listener` has. With an
    # equality, PostgreSQL may read the whole table backwards to find an idle listener's rows.
    mine = AuditLogEntry.objects.filter(listener_id__gte=listener_id, listener_id__lte=listener_id)
    return mine.order_by("listener_id", "-id")


def recent(listener_id: int) -> ByMapping:
    """Count the deliveries of a listener's recent changes by mapping and state; one query."""
    last = newest(listener_id).values("pk")[:RECENT]
    found: ByMapping = {}
    rows = Delivery.objects.filter(entry__in=last).order_by().values_list("mapping_id", "state")
    for mapping_id, state, count in rows.annotate(Count("id")):
        found.setdefault(mapping_id, Counter())[state] = count
    return found


def last_failures(mapping_ids: Sequence[int]) -> dict[int, Delivery]:
    """Return each mapping's newest delivery that is retrying or dead; two queries."""
    mappings = HandlerMapping.objects.filter(pk__in=mapping_ids).order_by()
    pairs = mappings.values_list(_newest_in(State.DEAD), _newest_in(State.RETRYING))
    ids = {pk for pair in pairs for pk in pair if pk}
    failed = Delivery.objects.filter(pk__in=ids, state__in=(State.DEAD, State.RETRYING))
    by_age = failed.order_by("started_at", "id").select_related("entry__listener")
    return {delivery.mapping_id: delivery for delivery in by_age}


def _newest_in(state: str) -> Subquery:
    mine = Delivery.objects.filter(mapping=OuterRef("pk"), state=state)
    return Subquery(mine.order_by("mapping_id", "state", "-id").values("pk")[:1])
