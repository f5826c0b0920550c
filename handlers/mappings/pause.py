"""Pauses and resumes mappings, with an entry in the action log.

While a mapping is paused, its changes are recorded and its deliveries are created, but none of them
starts: they are neither published nor retried, and a worker gives them back without counting an
attempt. Runs in progress finish. Later deliveries of the same chain wait too.

The mapping's row says whether it is paused. Publishing and claiming check it, so that a pause holds
in every process from its commit on. `Delivery.paused` only keeps waiting deliveries out of the
queries for publishable ones; any code that finds a delivery of a paused mapping sets it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from audit.action_log import Action, Actor, note
from audit.db.prepared import Prepared
from handlers.models import Delivery, HandlerMapping

log = structlog.get_logger(__name__)

State = Delivery.State
#: The limit of the count for each state, over all paused mappings.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Paused:
    """A paused mapping and the number of its waiting deliveries."""

    mapping: HandlerMapping
    waiting: int
    is_capped: bool = False

    @property
    def handler(self) -> str:
        return str(self.mapping.handler or self.mapping.task)

    @property
    def shown(self) -> str:
        return f"{self.waiting:,}+" if self.is_capped else f"{self.waiting:,}"


def pause(mappings: Iterable[HandlerMapping], by: Actor, reason: str, now: datetime) -> int:
    """Pause mappings in one transaction, or the caller's; return how many were not paused.

    Managed mappings are left alone: a mirror that gets no changes would not be in sync.
    """
    number = 0
    with transaction.atomic():
        for mapping in mappings:
            running = HandlerMapping.objects.filter(pk=mapping.pk, paused_at=None, managed=False)
            if running.update(paused_at=now, paused_by=str(by)[:150], pause_reason=reason):
                note(by, Action.PAUSE, mapping, reason=reason)
                _log_when_committed("handler paused", mapping, by)
                number += 1
    return number


def resume(mappings: Iterable[HandlerMapping], by: Actor, reason: str, now: datetime) -> int:
    """Resume mappings in one transaction, or the caller's; return how many were paused.

    The relay then publishes the waiting deliveries.
    """
    number = 0
    with transaction.atomic():
        for mapping in mappings:
            paused = HandlerMapping.objects.paused().filter(pk=mapping.pk)
            if paused.update(paused_at=None, paused_by="", pause_reason=""):
                note(by, Action.RESUME, mapping, reason=reason)
                _log_when_committed("handler resumed", mapping, by)
                number += 1
    return number


def _log_when_committed(event: str, mapping: HandlerMapping, by: Actor) -> None:
    transaction.on_commit(lambda: log.info(event, mapping=str(mapping), by=str(by)))


def to_handler(name: str) -> Q:
    """Return the filter of mappings to this handler or task."""
    return (Q(handler=name) | Q(task=name)) & ~Q(handler="", task="")


def paused() -> list[Paused]:
    """Return the paused mappings with their listeners, the longest paused first.

    One query, and a few more if there are any.
    """
    rows = HandlerMapping.objects.paused().select_related("listener").order_by("paused_at", "id")
    mappings = list(rows)
    counts, is_capped = _waiting([mapping.pk for mapping in mappings])
    return [Paused(mapping, counts[mapping.pk], is_capped) for mapping in mappings]


def _waiting(mapping_ids: Collection[int]) -> tuple[Counter[int], bool]:
    """Count waiting deliveries by mapping, and return whether a count reached the limit.

    Queries each state separately, because each has a partial index.
    """
    counts: Counter[int] = Counter()
    is_capped = False
    for state in Delivery.WAITING if mapping_ids else ():
        rows = Delivery.objects.filter(state=state, mapping__in=mapping_ids).order_by()
        mapping_ids_of_state = list(rows.values_list("mapping_id", flat=True)[: COUNTED + 1])
        is_capped |= len(mapping_ids_of_state) > COUNTED
        counts.update(mapping_ids_of_state[:COUNTED])
    return counts, is_capped


def has_resumed() -> bool:
    """Return whether deliveries of resumed mappings are still set aside."""
    return bool(_resumed(1))


def release_resumed(limit: int) -> list[int]:
    """Release deliveries of resumed mappings, the oldest first; return their ids.

    Never inside a transaction.
    """
    ids = _resumed(limit)
    if ids:
        with transaction.atomic(durable=True):
            Delivery.objects.filter(pk__in=ids).update_unlocked(paused=False)
    return ids


_ANY_ASIDE = Prepared(lambda: Delivery.objects.filter(paused=True).order_by().values_list("pk")[:1])


def _resumed(limit: int) -> list[int]:
    """Return ids of deliveries to release.

    Searches by mapping, because a million deliveries of mappings still paused may be set aside.
    """
    if not _ANY_ASIDE.rows():
        return []
    aside = Delivery.objects.filter(paused=True)
    rows = aside.filter(mapping=OuterRef("pk"))
    resumed = HandlerMapping.with_deleted.filter(Exists(rows), paused_at=None).order_by("id")
    owners = list(resumed.values_list("pk", flat=True))
    each = -(-limit // max(1, len(owners)))
    ids: list[int] = []
    for owner in owners:
        own = aside.filter(mapping=owner).order_by("id")
        ids += own.values_list("id", flat=True)[: min(each, limit - len(ids))]
    return ids
