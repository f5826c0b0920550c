"""A dead delivery that holds back what follows in its chain: its mapping's `on_dead: halt`.

NotHalting   it holds nothing back (any more); there is nothing to do
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from audit.action_log import Action, Actor, note
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from handlers.sdk.outcomes import storable

log = structlog.get_logger(__name__)

_HALT = HandlerMapping.OnDead.HALT
#: Deliveries that are given up in one transaction.
STEP = 500
_PER_RECORD = HandlerMapping.Ordering.PER_RECORD


class NotHalting(Exception):
    """The delivery holds nothing back. Look at its state: somebody was faster, or it never did."""


def halts(delivery: Delivery) -> bool:
    """Whether its death holds its chain back, as its mapping says at this moment."""
    if not delivery.chain or delivery.mapping_id is None:
        return False
    return _halting_mappings().filter(pk=delivery.mapping_id).exists()


def go_on_without(delivery_id: int, by: Actor, reason: str, now: datetime) -> None:
    """Give a halting delivery up: it stays dead, and the next of its chain begins.

    `reason` is kept with its error. Never inside a transaction. Raises NotHalting.
    """
    with transaction.atomic(durable=True):
        found = Delivery.objects.select_for_update().filter(pk=delivery_id, halts=True).first()
        if found is None:
            raise NotHalting(f"Delivery {delivery_id} holds nothing back.")
        found.halts = False
        found.error = storable(f"{found.error}\n{_given_up(by, reason, now)}")
        found.save(update_fields=["halts", "error"])
        note(by, Action.GO_ON, found, name=found.handler, reason=reason)
        following = Delivery.objects.promote(found.chain)
    log.info("went on without it", delivery=delivery_id, by=str(by), reason=reason)
    if following is not None:
        publish.publish_or_leave([following], now)


def give_up(ids: Sequence[int], by: Actor, reason: str, now: datetime) -> int:
    """The same for many; how many still halted. Never inside a transaction: each step is one, and
    what it lets begin is published after it."""
    given_up = 0
    for start in range(0, len(ids), STEP):
        with transaction.atomic(durable=True):
            mine = Delivery.objects.filter(pk__in=ids[start : start + STEP], halts=True)
            found = list(mine.locked().only("pk", "handler", "chain"))
            suffix = Value(storable(f"\n{_given_up(by, reason, now)}"))
            Delivery.objects.filter(pk__in=[one.pk for one in found]).update(
                halts=False, error=Concat("error", suffix)
            )
            for one in found:
                note(by, Action.GO_ON, one, name=one.handler, reason=reason)
            following = Delivery.objects.promote_all([one.chain for one in found])
        publish.publish_or_leave([one.id for one in following], now)
        given_up += len(found)
    log.info("went on without them", deliveries=given_up, by=str(by), reason=reason)
    return given_up


def _given_up(who: Actor, reason: str, now: datetime) -> str:
    return f"Given up by {who} at {now:%Y-%m-%d %H:%M:%S} UTC: {reason or 'no reason given'}"


def release_changed() -> int:
    """Let go of what halts though its mapping says so no longer, or is deleted; how many.

    Inside any transaction; the next of each chain is then stranded, which the relay looks for.
    """
    changed = Delivery.objects.filter(
        ~Q(mapping__in=_halting_mappings()) | Q(mapping=None), halts=True
    )
    with transaction.atomic():
        free = changed.select_for_update(skip_locked=True)  # of many chains: in no order
        ids = list(free.values_list("pk", flat=True))
        released = Delivery.objects.filter(pk__in=ids).update(halts=False)
    if released:
        log.info("their mappings hold nothing back any more", deliveries=released)
    return released


def _halting_mappings() -> QuerySet[HandlerMapping]:
    return HandlerMapping.objects.filter(on_dead=_HALT, ordering=_PER_RECORD)
