"""Dead letters that halt their chain, because their mapping says `on_dead: halt`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Concat

from audit.action_log import Action, Actor, note
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from handlers.sdk.outcomes import storable

log = structlog.get_logger(__name__)

_HALT = HandlerMapping.OnDead.HALT
#: Dead letters that are skipped in one transaction.
STEP = 500
_PER_RECORD = HandlerMapping.Ordering.PER_RECORD


def halts(delivery: Delivery) -> bool:
    """Return whether a delivery halts its chain when it is dead, by its current mapping."""
    return bool(delivery.chain) and _halting_mappings().filter(pk=delivery.mapping_id).exists()


def skip_halting(ids: Sequence[int], by: Actor, reason: str, now: datetime) -> int:
    """Skip halting dead letters; return how many were skipped: those that still halted.

    They stay dead, with the reason added to their error, and the next delivery of each chain
    becomes ready. Never inside a transaction: each step is one, and publishes the deliveries it
    made ready after its commit.
    """
    skipped = 0
    at = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    suffix = Value(storable(f"\nSkipped by {by} at {at}: {reason or 'no reason given'}"))
    for start in range(0, len(ids), STEP):
        with transaction.atomic(durable=True):
            mine = Delivery.objects.filter(pk__in=ids[start : start + STEP], halts=True)
            found = list(mine.locked().only("pk", "handler", "chain"))
            Delivery.objects.filter(pk__in=[delivery.pk for delivery in found]).update(
                halts=False, error=Concat("error", suffix)
            )
            for delivery in found:
                note(by, Action.GO_ON, delivery, name=delivery.handler, reason=reason)
            following = Delivery.objects.promote([delivery.chain for delivery in found])
        if found:
            ids_skipped = [delivery.pk for delivery in found]
            log.info("dead letters skipped", deliveries=ids_skipped, by=str(by), reason=reason)
        publish.publish_or_leave([delivery.id for delivery in following], now)
        skipped += len(found)
    return skipped


def release_changed() -> int:
    """Release the chains of dead letters whose mapping no longer halts, or is deleted; return how
    many.

    Inside any transaction. The relay then finds the stranded heads of these chains.
    """
    changed = Delivery.objects.filter(halts=True).exclude(mapping__in=_halting_mappings())
    with transaction.atomic():
        released = changed.update_unlocked(halts=False)
    if released:
        log.info("halted chains released, their mappings no longer halt", deliveries=released)
    return released


def _halting_mappings() -> QuerySet[HandlerMapping]:
    return HandlerMapping.objects.filter(on_dead=_HALT, ordering=_PER_RECORD)
