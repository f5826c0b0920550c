"""Redeliveries as jobs: a worker does them, a slice of time after the other, and whoever finds one
that nobody does has it taken up again."""

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
#: Seconds after which the rest is left to another message, where a task may last longer.
BUDGET = 120.0
#: After a step that the database does not let happen.
BACKOFF = Backoff(5.0, 30.0, jitter=0.5)


def run(redelivery_id: int) -> None:
    """Do one for a while, if nobody else does it. Never inside a transaction."""
    claim = RedeliveryClaim.of(redelivery_id, database_clock.now())
    if claim is None:
        return
    ends_at = time.monotonic() + min(BUDGET, settings.CDC_RUN_SECONDS / 2)
    attend(claim, ends_at)


def attend(claim: RedeliveryClaim, ends_at: float | None = None) -> None:
    """Do it until then, and hand on what is left. Never inside a transaction."""
    pk = claim.job.pk
    try:
        if not work(claim, is_over=lambda: ends_at is not None and time.monotonic() > ends_at):
            claim.release(database_clock.now() + SENT_AGAIN)
            send(pk)
    except ClaimLost:
        log.info("a redelivery goes on elsewhere, or was cancelled", redelivery=pk)
    except DatabaseError as error:
        delay = BACKOFF.delay(max(claim.job.tries, 1))
        due_at = database_clock.now() + timedelta(seconds=delay)
        log.warning("a redelivery is tried again", redelivery=pk, reason=str(error).strip())
        with suppress(ClaimLost):
            claim.release(due_at, error=storable(str(error).strip()))


def send(redelivery_id: int) -> bool:
    """Ask the workers to do it. What a broker that is away does not take is sent when it is due."""
    return publish.start_or_leave(TASK, redelivery_id=redelivery_id)


def start_due(now: datetime) -> int:
    """Ask the workers to do each that is due and that nobody does; how many. Never inside a
    transaction."""
    return start_due_jobs(Redelivery.objects.all(), now, send)


def cancel(redelivery_id: int, by: Actor, reason: str, now: datetime) -> bool:
    """What was sent stays sent, and the rest is not; False when it was over. Never inside a
    transaction."""
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
    """Go on with one that was given up; False when it was not. Never inside a transaction."""
    with transaction.atomic(durable=True):
        mine = Redelivery.objects.filter(pk=redelivery_id, state=State.FAILED)
        again = {"state": State.WAITING, "tries": 0, "finished_at": None}
        if not mine.update(**again, due_at=now + SENT_AGAIN):
            return False
        redelivery = Redelivery.objects.get(pk=redelivery_id)
        note(by, Action.TAKE_UP, redelivery, name=str(redelivery.pk), reason=reason)
    send(redelivery_id)
    return True
