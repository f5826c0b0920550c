"""Redeliveries as background jobs: workers run them in time slices, and the periodic round restarts
those that no process runs."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction

from audit.action_log import Action, Actor, note
from audit.jobs.claim import SENT_AGAIN, ClaimLost, start_due_jobs
from handlers.models import Redelivery, RedeliveryTarget
from handlers.outbox import publish
from handlers.redelivery.claim import RedeliveryClaim
from handlers.redelivery.steps import work
from handlers.sdk.outcomes import storable
from listeners.clock import database_clock
from listeners.salesforce.backoff import Backoff

log = structlog.get_logger(__name__)

State = Redelivery.State

TASK = "consumer.redeliver"
#: The longest time slice in seconds; the rest of the redelivery continues in a new task message.
BUDGET = 120.0
#: Delay before a redelivery is retried after a database error.
BACKOFF = Backoff(5.0, 30.0, jitter=0.5)


def run(redelivery_id: int) -> None:
    """Run a redelivery for one time slice, unless another process runs it.

    Never inside a transaction.
    """
    claim = RedeliveryClaim.of(redelivery_id, database_clock.now())
    if claim is None:
        return
    ends_at = time.monotonic() + min(BUDGET, settings.CDC_RUN_SECONDS / 2)
    attend(claim, ends_at)


def attend(claim: RedeliveryClaim, ends_at: float | None = None) -> None:
    """Run a claimed redelivery until `ends_at`, and send a message for the rest.

    `ends_at` is a time of `time.monotonic()`. Never inside a transaction.
    """
    pk = claim.job.pk
    try:
        if not work(claim, is_over=lambda: ends_at is not None and time.monotonic() > ends_at):
            claim.release(database_clock.now() + SENT_AGAIN)
            send(pk)
    except ClaimLost:
        log.info("redelivery claim lost", redelivery=pk)
    except DatabaseError as error:
        delay = BACKOFF.delay(max(claim.job.tries, 1))
        due_at = database_clock.now() + timedelta(seconds=delay)
        log.warning(
            "redelivery postponed after a database error", redelivery=pk, reason=str(error).strip()
        )
        with suppress(ClaimLost):
            claim.release(due_at, error=storable(str(error).strip()))


def send(redelivery_id: int) -> bool:
    """Send the task message; return whether the broker took it. `start_due` sends it otherwise."""
    return publish.start_or_leave(TASK, redelivery_id=redelivery_id)


def start_due(now: datetime) -> int:
    """Send a task message for each due redelivery that no process runs; return how many.

    Never inside a transaction.
    """
    return start_due_jobs(Redelivery.objects.all(), now, send)


def cancel(redelivery_id: int, by: Actor, reason: str, now: datetime) -> bool:
    """Cancel a redelivery; return False when it had already ended.

    Deliveries that were already sent stay sent. Never inside a transaction.
    """
    with transaction.atomic(durable=True):
        mine = Redelivery.objects.filter(pk=redelivery_id, state__in=Redelivery.UNENDED)
        if not mine.update(state=State.CANCELLED, claimed_until=None, finished_at=now):
            return False
        left = RedeliveryTarget.objects.filter(redelivery=redelivery_id).order_by()
        number = left._raw_delete(DEFAULT_DB_ALIAS)
        redelivery = Redelivery.objects.get(pk=redelivery_id)
        details = {"not_sent": number}
        name = str(redelivery.pk)
        note(by, Action.CANCEL, redelivery, name=name, reason=reason, details=details)
    return True


def take_up(redelivery_id: int, by: Actor, reason: str, now: datetime) -> bool:
    """Resume a failed redelivery; return False when it is in another state.

    Never inside a transaction.
    """
    with transaction.atomic(durable=True):
        mine = Redelivery.objects.filter(pk=redelivery_id, state=State.FAILED)
        waiting = {"state": State.WAITING, "tries": 0, "finished_at": None}
        if not mine.update(**waiting, due_at=now + SENT_AGAIN):
            return False
        redelivery = Redelivery.objects.get(pk=redelivery_id)
        note(by, Action.TAKE_UP, redelivery, name=str(redelivery.pk), reason=reason)
    send(redelivery_id)
    return True
