"""Runs are settled: each delivery's state, its attempt and the next of its chain, at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, transaction

from audit.db.bulk_insert import insert
from audit.db.errors import UNAVAILABLE
from audit.db.retry import retry
from handlers.models import Delivery
from handlers.models.chain_heads import Follower
from handlers.sdk.outcomes import Outcome, Succeeded
from handlers.types import Claim, ClaimLost, Ended
from handlers.worker import hot_sql
from handlers.worker.attempt_log import log_after_commit
from handlers.worker.end_states import attempt_of, changes
from listeners import crash_points
from listeners.clock import database_clock

log = structlog.get_logger(__name__)


Settled = tuple[list[Follower], list[Ended]]


def settled(ended: Sequence[Ended]) -> Settled:
    """What follows in their chains, and what was lost, of which nothing is written.

    The work is done: a connection that was cut is made anew for it. Never inside a transaction.
    """
    if not ended:
        return [], []
    try:
        return retry(lambda: _settle_alone(ended), "settle")
    except UNAVAILABLE:
        raise
    except DatabaseError:
        if len(ended) == 1:
            pk = ended[0].claim.delivery.pk
            log.exception("an ending cannot be written down", delivery=pk)
            return [], list(ended)
    # What cannot be written down of one of them is not to keep the others from it.
    each = [settled([one]) for one in ended]
    return [one for found, _ in each for one in found], [one for _, lost in each for one in lost]


def _settle_alone(ended: Sequence[Ended]) -> Settled:
    with transaction.atomic(durable=True):
        following, lost = settle_all(ended)
    for one in lost:
        log.warning("claim lost", delivery=one.claim.delivery.pk, attempt=one.claim.attempt)
    return following, lost


def settle_all(ended: Sequence[Ended]) -> Settled:
    """The same. Inside the caller's transaction."""
    if len(ended) == 1:
        return _settle_one(ended[0])
    held = Delivery.objects.running({one.claim.delivery.pk: one.claim.attempt for one in ended})
    mine = [one for one in ended if one.claim.delivery.pk in held]
    _settle_many(mine)
    insert([attempt_of(one) for one in mine])
    following = Delivery.objects.promote_all([one.claim.delivery.chain for one in mine])
    crash_points.reach("settled")
    return following, [one for one in ended if one.claim.delivery.pk not in held]


def settle(claim: Claim, outcome: Outcome) -> list[Follower]:
    """For one that ends now: what follows in its chain. Inside the caller's transaction. Raises
    ClaimLost when it is no longer this claim's."""
    following, lost = settle_all([Ended(claim, outcome, claim.started_at, database_clock.now())])
    if lost:
        raise ClaimLost
    return following


def _settle_one(ended: Ended) -> Settled:
    claim = ended.claim
    delivery = claim.delivery
    if isinstance(ended.outcome, Succeeded):
        won = hot_sql.succeed(delivery.pk, claim.attempt, ended.finished_at)
    else:
        values = _changes(ended)
        won = Delivery.objects.settle(delivery.pk, claim.attempt, **values)
        if won:
            log_after_commit(ended, values)
    if not won:
        return [], [ended]
    hot_sql.log(attempt_of(ended))
    is_followed = hot_sql.is_followed(delivery.chain)
    following = Delivery.objects.promote_all([delivery.chain]) if is_followed else []
    crash_points.reach("settled")
    return following, []


def _settle_many(ended: Sequence[Ended]) -> None:
    """They are locked. Most have ended alike."""
    alike: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
    finished_at = database_clock.now()
    for one in ended:
        values = _changes(one, finished_at)
        log_after_commit(one, values)
        alike[tuple(values.items())].append(one.claim.delivery.pk)
    for same, ids in alike.items():
        Delivery.objects.filter(pk__in=ids).update(claim_deadline=None, **dict(same))


def _changes(ended: Ended, now: datetime | None = None) -> dict[str, Any]:
    claim = ended.claim
    return changes(claim.delivery, ended.outcome, claim.counted, now or ended.finished_at)
