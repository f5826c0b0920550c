"""Finds the deliveries that are still in a lane that their mapping has left.

A mapping leaves its lane when it is deleted or loses its handler. When it names another handler,
the runs of the former one are left behind. Until these deliveries have ended, a record's next
change must not start beside or before them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from handlers.models import Delivery, HandlerMapping
from handlers.routing.router import with_target

State = Delivery.State
#: The states of waiting and begun deliveries, each with the order of its partial index, so that no
#: ended row is read.
_WAITING = (
    (Q(state=State.BLOCKED), ("-id",)),
    (Q(state=State.RETRYING), ("-id",)),
    (Q(state=State.QUEUED), ("queued_at",)),
    (Q(state=State.READY), ("paused", "mapping_id", "id")),
)
_RUNNING = (
    (Q(state=State.RUNNING), ("claim_deadline",)),
    (Q(state=State.QUEUED, is_tracked=True), ("destination_id", "claim_deadline")),
)


def holding_on(
    mappings: Sequence[HandlerMapping], known: Mapping[int, int], ordered: Collection[int]
) -> list[HandlerMapping]:
    """Return some of the mappings of `left_behind`, without a look at all tracked tasks that were
    sent: those with a running delivery, and those that were deleted or have lost their handler,
    each with one of its targets."""
    current = {mapping.pk: mapping for mapping in mappings}
    lost = HandlerMapping.with_deleted.filter(handler="", task="").in_bulk(
        known.keys() - {*ordered}
    )
    found = current | lost
    rows = _targets(Q(state=State.RUNNING), known.keys() & found.keys())
    unseen = lost.keys() - {pk for pk, *_ in rows}
    # Waiting ones first: the search for a running one may pass over many tracked tasks.
    ids = _first(unseen & current.keys(), _WAITING + _RUNNING)
    ids += _first(unseen - current.keys(), _RUNNING)
    rows |= _targets(Q(pk__in=ids), known) if ids else set()
    return _as_they_were(rows, found)


def left_behind(
    mappings: Sequence[HandlerMapping], known: Mapping[int, int], ordered: Collection[int]
) -> list[HandlerMapping]:
    """Return mappings as they were, for the deliveries that they have left behind in their lane.

    mappings  all mappings of the listener
    known     the lanes until now, by mapping id
    ordered   ids of the mappings that keep a record's order now

    Waiting deliveries count only if they will run for the former handler: those of a deleted
    mapping are skipped, and those of a mapping with another handler move to it.
    """
    # Running ones last: a task that was sent may begin to run between the two queries.
    rows = {row for condition, _ in reversed(_RUNNING) for row in _targets(condition, known)}
    current = {mapping.pk: mapping for mapping in mappings}
    left = known.keys() - {*ordered}
    lost = {pk for pk in left & current.keys() if not (current[pk].handler or current[pk].task)}
    if lost:
        # Running ones too: a waiting delivery may have begun to run since.
        rows |= _targets(Q(pk__in=_first(lost, _WAITING + _RUNNING)), known)
    deleted = {pk for pk, *_ in rows} - current.keys()
    found = current | (HandlerMapping.with_deleted.in_bulk(deleted) if deleted else {})
    return _as_they_were(rows, found)


def _as_they_were(
    rows: Collection[tuple[int, str, bool]], found: Mapping[int, HandlerMapping]
) -> list[HandlerMapping]:
    return [
        with_target(found[pk], name, is_external=is_external)
        for pk, name, is_external in sorted(rows)
        if _is_left(found[pk], name, is_external=is_external)
    ]


def _is_left(mapping: HandlerMapping, name: str, *, is_external: bool) -> bool:
    """Return whether a mapping that keeps the order has left this handler or task."""
    target = (mapping.handler or mapping.task, bool(mapping.task))
    is_ordered = mapping.ordering == HandlerMapping.Ordering.PER_RECORD
    return is_ordered and target != (name, is_external)


def _targets(condition: Q, known: Collection[int]) -> set[tuple[int, str, bool]]:
    """Return the mapping and the handler or task of the deliveries in a chain, of these mappings.

    Compares the mappings here: SQLite would use their index, which has all ended deliveries.
    """
    rows = Delivery.objects.filter(condition).exclude(chain="").order_by()
    targets = rows.values_list("mapping_id", "handler", "is_external").distinct()
    return {(pk, name, is_external) for pk, name, is_external in targets if pk in known}


def _first(
    mapping_ids: Collection[int], searches: Sequence[tuple[Q, tuple[str, ...]]]
) -> list[int]:
    """Return the id of a delivery of each of these mappings that one of the searches finds."""
    each = (
        Subquery(
            Delivery.objects.filter(condition, mapping=OuterRef("pk"))
            .exclude(chain="")
            .order_by(*order)
            .values("pk")[:1]
        )
        for condition, order in searches
    )
    mappings = HandlerMapping.with_deleted.filter(pk__in=mapping_ids)
    rows = mappings.values_list(Coalesce(*each), flat=True)
    return [pk for pk in rows if pk is not None]
