"""Count the overtaken deliveries of a redelivery request."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Exists, OuterRef

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.routing.router import views

State = Delivery.State
_UNBEGUN = (State.BLOCKED, State.READY, State.QUEUED)
_ON_THEIR_WAY = (*_UNBEGUN, State.RUNNING)


def overtaken(deliveries: Any) -> int:
    """Return how many of the deliveries are overtaken. One query for each mapping.

    A delivery is overtaken when its record has a later change whose delivery to the same target, if
    any, is not waiting for its first attempt.
    """
    candidates = deliveries.order_by().exclude(state__in=_ON_THEIR_WAY)
    mapping_ids = set(candidates.values_list("mapping_id", flat=True).distinct())
    mappings = HandlerMapping.objects.filter(pk__in=mapping_ids)
    number = 0
    for mapping_id, view in _views(mappings).items():
        number += _count_for_mapping(candidates.filter(mapping=mapping_id), view)
    return number


def _views(mappings: Any) -> dict[int, frozenset[int]]:
    by_listener: defaultdict[int, list[HandlerMapping]] = defaultdict(list)
    listeners = mappings.order_by().values("listener_id")
    for mapping in HandlerMapping.objects.filter(listener__in=listeners):
        by_listener[mapping.listener_id].append(mapping)
    wanted = set(mappings.values_list("pk", flat=True))
    return {
        pk: view
        for group in by_listener.values()
        for pk, view in views(group).items()
        if pk in wanted
    }


def _count_for_mapping(deliveries: Any, view: frozenset[int]) -> int:
    waiting = Delivery.objects.filter(
        entry=OuterRef("pk"), mapping__in=view, state__in=_UNBEGUN, attempts=0
    )
    # The listener is compared as a range, for the reason given in `history`.
    later = AuditLogEntry.objects.filter(
        ~Exists(waiting),
        record_id=OuterRef("entry__record_id"),
        listener_id__gte=OuterRef("entry__listener_id"),
        listener_id__lte=OuterRef("entry__listener_id"),
        pk__gt=OuterRef("entry_id"),
    )
    return int(deliveries.filter(Exists(later.order_by())).count())
