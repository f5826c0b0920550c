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
from django.db.models import F
from django.db.models.functions import Now

from handlers.models import Delivery
from handlers.models.delivery_queryset import DeliveryQuerySet

log = structlog.get_logger(__name__)

#: The columns of a delivery that waits for its first attempt.
_WAITING: dict[str, Any] = dict.fromkeys(
    ("due_at", "queued_at", "started_at", "finished_at", "claim_deadline")
) | {"error": "", "error_group": "", "halts": False}


def keep(ids: Collection[int], moments: Collection[datetime], span: timedelta) -> set[int]:
    """Renew the claims among `ids` that began at one of these moments; return the ids of those that
    hold. Attempts that were ended as lost do not count. Never inside a transaction."""
    begun = Delivery.objects.filter(started_at__in=moments)
    with transaction.atomic(durable=True):
        running = begun.filter(pk__in=ids, state=Delivery.State.RUNNING)
        held = set(running.locked().values_list("pk", flat=True))
        Delivery.objects.filter(pk__in=held).update(claim_deadline=Now() + span)
    discount(set(ids) - held, moments)
    return held


def discount(ids: Collection[int], moments: Collection[datetime]) -> None:
    """Do not count the attempts that began at one of these moments and were ended as lost, before
    their handlers were called. Never inside a transaction."""
    if not ids:
        return
    ended = Delivery.objects.filter(state__in=(Delivery.State.RETRYING, Delivery.State.DEAD))
    lost = ended.filter(pk__in=ids, started_at__in=moments)
    for pk in lost.order_by("id").values_list("pk", flat=True):
        if _discount(lost.filter(pk=pk)):
            log.warning("claim lost before its run: the attempt does not count", delivery=pk)


def _discount(lost: DeliveryQuerySet) -> int:
    """Make a delivery ready, or blocked if later ones of its chain have started since."""
    for state in (Delivery.State.READY, Delivery.State.BLOCKED):
        with suppress(IntegrityError), transaction.atomic(durable=True):
            return lost.update(state=state, attempts_before=F("attempts_before") + 1, **_WAITING)
    return 0
