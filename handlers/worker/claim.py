"""Claims deliveries for a worker, one or many at a time, and gives unused claims back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from audit.db.retry import retry
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery
from handlers.types import Claim
from handlers.worker import hot_sql
from handlers.worker.claim_heartbeat import claim_span
from listeners import crash_points
from listeners.clock import database_clock

Result = TypeVar("Result")

#: Seconds for which a claim is retried: no other worker has the message.
CLAIM_RETRY_SECONDS = 120.0
#: Seconds for which work between a claim and its first renewal is retried, at most.
UNRENEWED_RETRY_SECONDS = 20.0


def claim(ids: Sequence[int], handler: str = "") -> list[Claim]:
    """Claim the runnable deliveries among `ids`, in this order, with entry, listener and mapping.

    Deliveries of paused mappings are set aside. Deliveries moved to another handler than the one
    that the message names (`handler`) are given back. Database errors are retried, because no other
    worker has the message. Never inside a transaction.
    """
    now = retry(database_clock.now, "read the clock", limit=CLAIM_RETRY_SECONDS)
    claims = _one(ids[0], now) if len(ids) == 1 else _many(ids, now)
    if len(claims) < len(ids):
        unclaimed = set(ids) - {claim.delivery.pk for claim in claims}
        _retry_unrenewed(lambda: Delivery.objects.set_aside(unclaimed), "set aside")
    # The mapping was read after the claim's commit, so a pause committed before it is seen here.
    paused = [claim for claim in claims if _is_paused(claim.delivery)]
    _retry_unrenewed(lambda: give_back(paused, paused=True), "give back")
    active = [claim for claim in claims if claim not in paused]
    moved = [claim for claim in active if _is_moved(claim.delivery, handler)]
    if moved:
        _retry_unrenewed(lambda: give_back(moved), "give back")
        left_behind = Delivery.objects.filter(pk__in=[claim.delivery.pk for claim in moved])
        _retry_unrenewed(lambda: move_left_behind(left_behind, now), "move")
    return [claim for claim in active if claim not in moved] if moved else active


def _retry_unrenewed(work: Callable[[], Result], what: str) -> Result:
    """Retry for so short a time that the claim is renewed before it expires."""
    limit = min(UNRENEWED_RETRY_SECONDS, claim_span().total_seconds() / 4)
    return retry(work, what, limit=limit)


def _is_paused(delivery: Delivery) -> bool:
    return bool(delivery.mapping and delivery.mapping.paused_at)


def _is_moved(delivery: Delivery, handler: str) -> bool:
    """Return whether the message or the row names another handler than the mapping does."""
    return bool(handler and delivery.handler != handler) or is_misdirected(delivery)


def give_back(claims: Collection[Claim], *, paused: bool = False) -> None:
    """Return unused claims, which do not count as attempts. Lost claims are left unchanged."""
    if claims:
        held = {claim.delivery.pk: claim.attempt for claim in claims}
        Delivery.objects.give_back(held, paused=paused)


def _one(delivery_id: int, now: datetime) -> list[Claim]:
    begin = partial(hot_sql.begin, delivery_id, now, claim_span())
    if not retry(begin, "claim", limit=CLAIM_RETRY_SECONDS):
        return []
    crash_points.reach("claimed")
    delivery = _retry_unrenewed(lambda: hot_sql.load(delivery_id), "load")
    return [Claim(delivery, delivery.attempts, now)] if delivery is not None else []


def _many(ids: Sequence[int], now: datetime) -> list[Claim]:
    begin = partial(hot_sql.begin_all, ids, now, claim_span())
    rows = retry(begin, "claim", limit=CLAIM_RETRY_SECONDS)
    crash_points.reach("claimed")
    begun = {delivery.pk: delivery for delivery in rows}
    ordered = [begun[pk] for pk in dict.fromkeys(ids) if pk in begun]
    deliveries = _retry_unrenewed(lambda: hot_sql.load_all(ordered), "load")
    return [Claim(delivery, delivery.attempts, now) for delivery in deliveries]
