"""The right to run deliveries: claimed one by one or together, and given back unused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from audit.db.retry import retry
from handlers.mappings.retarget import is_misdirected, move_left_behind
from handlers.models import Delivery
from handlers.types import Claim
from handlers.worker import hot_sql
from handlers.worker.claim_heartbeat import claim_span
from listeners import crash_points
from listeners.clock import database_clock


def claim(ids: Sequence[int], handler: str = "") -> list[Claim]:
    """Of these, what is there to be run, in this order; with its entry, listener and mapping.

    What is not because its mapping is paused is set aside. What was moved to another handler than
    the one that its message names (`handler`) is given back. Nobody else has their message: a
    deadlock, or a database that is away, is waited for. Never inside a transaction.
    """
    now = retry(database_clock.now, "read the clock")
    claims = _one(ids[0], now) if len(ids) == 1 else _many(ids, now)
    if len(claims) < len(ids):
        left = set(ids) - {one.delivery.pk for one in claims}
        retry(lambda: Delivery.objects.set_aside(left), "set aside")
    # Read after the claims were committed: what a pause did not see running does not begin.
    paused = [one for one in claims if one.delivery.mapping and one.delivery.mapping.paused_at]
    retry(lambda: give_back(paused, paused=True), "give back")
    moved = [one for one in claims if one not in paused and _is_moved(one.delivery, handler)]
    if moved:
        retry(lambda: give_back(moved), "give back")
        left_behind = Delivery.objects.filter(pk__in=[one.delivery.pk for one in moved])
        retry(lambda: move_left_behind(left_behind, now), "move")
    unused = [*paused, *moved]
    return [one for one in claims if one not in unused] if unused else claims


def _is_moved(delivery: Delivery, handler: str) -> bool:
    """Whether its message, or its own row, names a handler that its mapping does not name now."""
    return bool(handler and delivery.handler != handler) or is_misdirected(delivery)


def give_back(claims: Collection[Claim], *, paused: bool = False) -> None:
    """They have not begun: this counts as no attempt. Who lost one leaves it alone."""
    if claims:
        held = {one.delivery.pk: one.attempt for one in claims}
        Delivery.objects.give_back(held, paused=paused)


def _one(delivery_id: int, now: datetime) -> list[Claim]:
    if not retry(lambda: hot_sql.begin(delivery_id, now, claim_span()), "claim"):
        return []
    crash_points.reach("claimed")
    delivery = retry(lambda: hot_sql.load(delivery_id), "load")
    return [Claim(delivery, delivery.attempts, now)] if delivery is not None else []


def _many(ids: Sequence[int], now: datetime) -> list[Claim]:
    rows = retry(lambda: hot_sql.begin_all(ids, now, claim_span()), "claim")
    crash_points.reach("claimed")
    begun = {one.pk: one for one in rows}
    ordered = [begun[pk] for pk in dict.fromkeys(ids) if pk in begun]
    deliveries = retry(lambda: hot_sql.load_all(ordered), "load")
    return [Claim(delivery, delivery.attempts, now) for delivery in deliveries]
