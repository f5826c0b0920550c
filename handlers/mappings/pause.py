"""Handlers paused and resumed, each with its line in the action log.

While a mapping is paused its changes are recorded and its deliveries made, and none of them starts:
they are not published, not tried again, and what a worker gets of them it puts back, which counts
as no attempt. What runs ends. Whatever waits behind them in the order of a record waits too.

The mapping's row says whether it is paused: publishing and claiming look at it, so that a pause
holds in every process from its commit on. `Delivery.paused` only keeps what waits out of the way
of those who look for what can be published; whoever meets one sets it.
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
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet

log = structlog.get_logger(__name__)

State = Delivery.State
#: What does not begin while its mapping is paused.
WAITING = (State.BLOCKED, State.READY, State.QUEUED, State.RETRYING)
#: Of all paused mappings together, and of each state, counted no further.
COUNTED = 10_000
#: So many are let go at once.
LIMIT = 5000


@dataclass(frozen=True, slots=True)
class Paused:
    """A mapping that is paused, and how much waits for it."""

    mapping: HandlerMapping
    waiting: int
    is_capped: bool = False

    @property
    def handler(self) -> str:
        return str(self.mapping.handler or self.mapping.task)

    @property
    def shown(self) -> str:
        return f"{self.waiting:,}+" if self.is_capped else f"{self.waiting:,}"


def pause(mapping: HandlerMapping, by: Actor, reason: str, now: datetime) -> bool:
    """False: it was. Inside any transaction."""
    with transaction.atomic():
        running = HandlerMapping.objects.filter(pk=mapping.pk, paused_at=None)
        if not running.update(paused_at=now, paused_by=str(by)[:150], pause_reason=reason):
            return False
        note(by, Action.PAUSE, mapping, reason=reason)
    log.info("handler paused", mapping=str(mapping), by=str(by))
    return True


def resume(mapping: HandlerMapping, by: Actor, reason: str, now: datetime) -> bool:
    """False: it was not paused. Inside any transaction. The relay publishes what waits."""
    with transaction.atomic():
        paused = HandlerMapping.objects.paused().filter(pk=mapping.pk)
        if not paused.update(paused_at=None, paused_by="", pause_reason=""):
            return False
        note(by, Action.RESUME, mapping, reason=reason)
    log.info("handler resumed", mapping=str(mapping), by=str(by))
    return True


def pause_all(mappings: Iterable[HandlerMapping], by: Actor, reason: str, now: datetime) -> int:
    """All of them in one transaction; how many ran."""
    with transaction.atomic():
        return sum(pause(one, by, reason, now) for one in mappings)


def resume_all(mappings: Iterable[HandlerMapping], by: Actor, reason: str, now: datetime) -> int:
    """All of them in one transaction; how many were paused."""
    with transaction.atomic():
        return sum(resume(one, by, reason, now) for one in mappings)


def to_handler(name: str) -> Q:
    """Of mappings: those to this handler or task."""
    return (Q(handler=name) | Q(task=name)) & ~Q(handler="", task="")


def paused() -> list[Paused]:
    """The mappings that are paused, the longest first, with their listeners. One query, and a few
    more where there are any."""
    found = HandlerMapping.objects.paused().select_related("listener").order_by("paused_at", "id")
    mappings = list(found)
    counts, is_capped = _waiting([mapping.pk for mapping in mappings])
    return [Paused(mapping, counts[mapping.pk], is_capped) for mapping in mappings]


def _waiting(mapping_ids: Collection[int]) -> tuple[Counter[int], bool]:
    """By mapping; each state has a partial index."""
    counts: Counter[int] = Counter()
    is_capped = False
    for state in WAITING if mapping_ids else ():
        rows = Delivery.objects.filter(state=state, mapping__in=mapping_ids).order_by()
        found = list(rows.values_list("mapping_id", flat=True)[: COUNTED + 1])
        is_capped |= len(found) > COUNTED
        counts.update(found[:COUNTED])
    return counts, is_capped


def has_resumed() -> bool:
    """Whether something was set aside that could go on."""
    return bool(_resumed(1))


def let_go(limit: int = LIMIT) -> list[int]:
    """What was set aside and is not paused any more goes its way again, the oldest first; the ids
    of what is ready or due. Never inside a transaction."""
    ids = _resumed(limit)
    if ids:
        with transaction.atomic(durable=True):
            free = Delivery.objects.filter(pk__in=ids).select_for_update(skip_locked=True)
            Delivery.objects.filter(pk__in=list(free.values_list("pk", flat=True))).update(
                paused=False
            )
    return ids


def _resumed(limit: int) -> list[int]:
    """Looked for by mapping: of what still is paused there may be a million."""
    aside = _aside()
    if not aside.exists():
        return []
    mine = aside.filter(mapping=OuterRef("pk"))
    resumed = HandlerMapping.with_deleted.filter(Exists(mine), paused_at=None).order_by("id")
    owners = list(resumed.values_list("pk", flat=True))
    each = -(-limit // max(1, len(owners)))
    ids: list[int] = []
    for owner in owners:
        own = aside.filter(mapping=owner).order_by("id")
        ids += own.values_list("id", flat=True)[: min(each, limit - len(ids))]
    return ids


def _aside() -> DeliveryQuerySet:
    return Delivery.objects.filter(paused=True)
