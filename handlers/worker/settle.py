"""Settles runs: writes each delivery's state and attempt, and readies the next of its chain.

A first attempt that succeeds, as most do, has no row (`Delivery.all_attempts`).
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Coalesce

from audit.db.bulk_insert import insert
from audit.db.retry import UNAVAILABLE, retry
from handlers.dead_letters import halt
from handlers.dead_letters.groups import group_of
from handlers.models import Delivery, DeliveryAttempt
from handlers.models.chain_heads import Follower
from handlers.sdk.outcomes import Failed, Outcome, Skipped, Succeeded, storable
from handlers.types import Claim, ClaimLost, Ended
from handlers.worker import hot_sql
from handlers.worker.run_log import log_after_commit
from listeners import crash_points
from listeners.backoff import Backoff
from listeners.clock import database_clock

log = structlog.get_logger(__name__)
Settled = tuple[list[Follower], list[Ended]]


def settle_runs(ended: Sequence[Ended]) -> Settled:
    """Settle runs; return the next deliveries of their chains, and the runs whose claim was lost.

    Nothing is written for a lost run. Database errors are retried, because the handlers have
    already run. Never inside a transaction.
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
            log.exception("run cannot be settled", delivery=pk)
            return [], list(ended)
    # Settle each alone, so that one failing row does not hold up the others.
    results = [settle_runs([run]) for run in ended]
    following = [follower for followers, _ in results for follower in followers]
    return following, [run for _, lost in results for run in lost]


def _settle_alone(ended: Sequence[Ended]) -> Settled:
    with transaction.atomic(durable=True):
        following, lost = settle_in_transaction(ended)
    for run in lost:
        log.warning("claim lost", delivery=run.claim.delivery.pk, attempt=run.claim.attempt)
    return following, lost


def settle_in_transaction(ended: Sequence[Ended]) -> Settled:
    """Settle runs as `settle_runs` does. Inside the caller's transaction."""
    if len(ended) == 1 and not ended[0].claim.delivery.is_tracked:
        return _settle_one(ended[0])
    held = Delivery.objects.running({run.claim.delivery.pk: run.claim.attempt for run in ended})
    kept = [run for run in ended if run.claim.delivery.pk in held]
    _settle_many(kept)
    insert([attempt_of(run) for run in kept if run.has_row])
    following = Delivery.objects.promote([run.claim.delivery.chain for run in kept])
    crash_points.reach("settled")
    return following, [run for run in ended if run.claim.delivery.pk not in held]


def settle(claim: Claim, outcome: Outcome) -> list[Follower]:
    """Settle a run that ends now; return the next deliveries of its chain.

    Inside the caller's transaction. Raises ClaimLost if the claim no longer holds.
    """
    following, lost = settle_in_transaction(
        [Ended(claim, outcome, claim.started_at, database_clock.now())]
    )
    if lost:
        raise ClaimLost
    return following


def _settle_one(ended: Ended) -> Settled:
    claim = ended.claim
    delivery = claim.delivery
    if isinstance(ended.outcome, Succeeded):
        won = hot_sql.succeed(claim.attempt, _success(ended))
    else:
        values = _changes(ended, ended.outcome, ended.finished_at)
        won = Delivery.objects.settle(delivery.pk, claim.attempt, **values)
        if won:
            log_after_commit(ended, values)
    if not won:
        return [], [ended]
    if ended.has_row:
        insert([attempt_of(ended)])
    following = Delivery.objects.promote([delivery.chain])
    crash_points.reach("settled")
    return following, []


def _settle_many(ended: Sequence[Ended]) -> None:
    """Update runs whose rows are locked: successes in one statement, and others in one for each set
    of equal changes."""
    successes: list[hot_sql.Success] = []
    ids_by_changes: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
    finished_at = database_clock.now()
    for run in ended:
        if isinstance(run.outcome, Succeeded):
            successes.append(_success(run))
        else:
            values = _changes(run, run.outcome, finished_at)
            log_after_commit(run, values)
            ids_by_changes[tuple(values.items())].append(run.claim.delivery.pk)
    if successes:
        hot_sql.succeed_all(successes)
    for same, ids in ids_by_changes.items():
        Delivery.objects.filter(pk__in=ids).update(
            claim_deadline=None, started_at=Coalesce("started_at", "queued_at"), **dict(same)
        )


def _success(ended: Ended) -> hot_sql.Success:
    delivery_id = ended.claim.delivery.pk
    return hot_sql.Success(delivery_id, ended.started_at, ended.finished_at, _worker_of(ended))


def _changes(ended: Ended, outcome: Skipped | Failed, now: datetime) -> dict[str, Any]:
    """Return the changed columns of a delivery whose attempt ended with this outcome."""
    delivery, counted = ended.claim.delivery, ended.claim.counted
    match outcome:
        case Skipped(reason):
            return {"state": Delivery.State.SKIPPED, "error": storable(reason), "finished_at": now}
        case Failed(error) if ended.is_last:
            return {
                "state": Delivery.State.DEAD,
                "halts": halt.halts(delivery),
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "finished_at": now,
            }
        case Failed(error, after=after):
            delay = backoff().delay(counted) if after is None else after
            return {
                "state": Delivery.State.RETRYING,
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "due_at": now + timedelta(seconds=delay),
            }


def attempt_of(ended: Ended) -> DeliveryAttempt:
    """Return the unsaved row of an attempt that has ended."""
    error = trace = ""
    match ended.outcome:
        case Skipped(reason):
            error = reason
        case Failed(reason, traceback):
            error, trace = reason, traceback
    return DeliveryAttempt(
        delivery_id=ended.claim.delivery.pk,
        number=ended.claim.attempt,
        outcome=DeliveryAttempt.Outcome(ended.kind),
        redelivery_id=ended.claim.delivery.redelivery_id,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
        worker=_worker_of(ended),
        error=storable(error),
        traceback=storable(trace),
    )


def _worker_of(ended: Ended) -> str:
    return socket.gethostname() if ended.worker is None else storable(ended.worker)[-255:]


def backoff() -> Backoff:
    """Return the back-off between the attempts of a delivery."""
    return Backoff(settings.CDC_RETRY_BASE_SECONDS, settings.CDC_RETRY_CAP_SECONDS)
