"""Claims that the database or the process was late with: the answer to a commit was lost or took
long, or the process was paused before the run began.

They are recognised by the moment at which they began. If the relay ended one as lost meanwhile, its
handler was never called, so that the attempt does not count.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from handlers.models import Delivery
from handlers.models.delivery_queryset import DeliveryQuerySet
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Delivery.State
#: The columns of a delivery that waits for its first attempt.
_WAITING: dict[str, Any] = dict.fromkeys(
    ("due_at", "queued_at", "started_at", "finished_at", "claim_deadline")
) | {"error": "", "error_group": "", "halts": False}


def keep(ids: Collection[int], moments: Collection[datetime], span: timedelta) -> set[int]:
    """Renew the claims among `ids` that began at one of these moments; return the ids of those that
    hold. Attempts that were ended as lost do not count. Never inside a transaction."""
    begun = Delivery.objects.filter(started_at__in=moments)
    with transaction.atomic(durable=True):
        running = begun.filter(pk__in=ids, state=State.RUNNING)
        held = set(running.locked().values_list("pk", flat=True))
        Delivery.objects.filter(pk__in=held).update(claim_deadline=Now() + span)
    discount(set(ids) - held, moments)
    return held


def discount(ids: Collection[int], moments: Collection[datetime]) -> None:
    """Do not count the attempts that began at one of these moments and were ended as lost, before
    their handlers were called. Never inside a transaction."""
    if not ids:
        return
    ended = Delivery.objects.filter(state__in=(State.RETRYING, State.DEAD))
    lost = ended.filter(pk__in=ids, started_at__in=moments)
    rows = lost.order_by("id").values_list("pk", "entry__listener_id", "chain")
    for pk, listener_id, chain in rows:
        if _discount(lost.filter(pk=pk), listener_id, chain):
            log.warning("claim lost before its run: the attempt does not count", delivery=pk)


def _discount(lost: DeliveryQuerySet, listener_id: int, chain: str) -> bool:
    """Make a delivery ready; a dead one of a chain first waits for its turn in it.

    A dead one may have left its chain without an open delivery. Only a transaction that has locked
    the listener's position may open one there, so the delivery is first blocked, then promoted. If
    the process dies between the two steps, the relay promotes it.
    """
    again = {"attempts_before": F("attempts_before") + 1, **_WAITING}
    needs_no_turn = Q(state=State.RETRYING) | Q(chain="")
    with transaction.atomic(durable=True):
        if lost.filter(needs_no_turn).update(state=State.READY, **again):
            return True
        if not lost.update(state=State.BLOCKED, **again):
            return False
    with suppress(IntegrityError), transaction.atomic(durable=True):
        Position.objects.lock_listener(listener_id)
        Delivery.objects.promote([chain])
    return True
