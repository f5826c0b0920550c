"""Redeliveries as background jobs: workers run them in time slices, and the periodic round restarts
those that no process runs.

Each step is one transaction that keeps per-record order, and publishes its deliveries after the
commit: a redelivery that is killed has done exactly what its row counts, and the remaining targets
are still in the database for the next claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction
from django.db.models import F

from audit.action_log import Action, Actor, note
from audit.db.retry import retry
from audit.jobs.claim import SENT_AGAIN, Claim, ClaimLost, start_due_jobs
from audit.models import AuditLogEntry
from handlers import broker
from handlers.models import Delivery, Redelivery, RedeliveryTarget
from handlers.outbox import publish
from handlers.redelivery import new_handlers
from handlers.redelivery.request import Counts, counts_of, sent, stored
from handlers.redelivery.requeue import requeue
from handlers.sdk.outcomes import storable
from listeners import crash_points
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.models import Position

log = structlog.get_logger(__name__)

State = Redelivery.State
#: Called with the redelivery after each step.
Watch = Callable[[Redelivery], object]
Targets = Sequence[RedeliveryTarget]

TASK = "consumer.redeliver"
#: Consecutive claims without progress after which the redelivery fails and needs an operator.
MOST_TRIES = 5
_NO_FURTHER = (
    "The redelivery was started several times without progress. The worker log has the reason."
)
#: Targets in a step.
ROWS = 1000
#: Seconds for which a step is retried after a database error, such as a deadlock with the deletion
#: of a mapping. Short, since a request may wait for it; the rest is done as a background job.
RETRY_SECONDS = 3.0
#: The longest time slice in seconds; the rest of the redelivery continues in a new task message.
BUDGET = 120.0
#: Delay before a redelivery is retried after a database error.
BACKOFF = Backoff(5.0, 30.0, jitter=0.5)


class RedeliveryClaim(Claim[Redelivery]):
    """A redelivery that this process runs."""

    @classmethod
    def of(cls, redelivery_id: int, now: datetime) -> RedeliveryClaim | None:
        """Claim a redelivery; None when another process runs it, or it has ended or failed.

        Inside any transaction.
        """
        span = timedelta(seconds=settings.CDC_CLAIM_SECONDS)
        found = Redelivery.objects.filter(pk=redelivery_id)
        claim = cls.take(found, now, span, tries=F("tries") + 1)
        if claim is not None and claim.job.tries > MOST_TRIES:
            claim.give_up()
            return None
        return claim

    @property
    def counts(self) -> Counts:
        return counts_of(self.job)

    def keep(self, counts: Counts, looked_at: int) -> None:
        """Save the progress of a step and renew the claim. Inside the `step`."""
        self.extend(
            counts=stored(self.counts + counts),
            count=self.job.count + sent(counts),
            done=self.job.done + looked_at,
            tries=0,
            error="",
        )

    def end(self) -> None:
        self.finish(State.DONE, error="")
        log.info(
            "redelivered",
            redelivery=self.job.pk,
            by=self.job.requested_by,
            deliveries=self.job.count,
        )

    def give_up(self) -> None:
        error = self.job.error or _NO_FURTHER
        self.finish(State.FAILED, error=error)
        log.error("redelivery failed", redelivery=self.job.pk, reason=error)


def work(
    claim: RedeliveryClaim,
    watch: Watch = lambda _: None,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    """Run the remaining steps until `is_over()`; return whether all are done.

    The relay publishes what the broker does not take now. Never inside a transaction. Raises
    ClaimLost, and database errors that persist.
    """
    last: tuple[bool, int] = (False, 0)
    is_published = True
    while targets := _following(claim, *last):
        if is_over():
            return False
        last = (targets[-1].is_entry, targets[-1].row_id)
        step = partial(_step, claim, targets)
        ready = retry(step, "redeliver", limit=RETRY_SECONDS)
        crash_points.reach("redelivered")
        is_published = is_published and publish.publish_or_leave(ready, database_clock.now())
        watch(claim.job)
    claim.end()
    return True


def _following(claim: RedeliveryClaim, is_entry: bool, row_id: int) -> Targets:
    """Return the targets of the next step: deliveries first, then entries, never both.

    The search starts after the last step's targets: an index scan from the start would read the
    dead tuples of the rows that were deleted since.
    """
    left = RedeliveryTarget.objects.filter(redelivery=claim.job).order_by("row_id")
    if not is_entry:
        if found := list(left.filter(is_entry=False, row_id__gt=row_id)[:ROWS]):
            return found
        row_id = 0
    return list(left.filter(is_entry=True, row_id__gt=row_id)[:ROWS])


def _step(claim: RedeliveryClaim, targets: Targets) -> list[int]:
    """Redeliver the targets in one transaction; return the ids to publish."""
    redelivery, ids = claim.job, [target.row_id for target in targets]
    is_entry = targets[0].is_entry
    with claim.step():
        if is_entry:
            _lock_positions(AuditLogEntry.objects.filter(pk__in=ids), "listener_id")
            counts, ready = new_handlers.deliver_to(ids, redelivery.handler, redelivery)
        else:
            _lock_positions(Delivery.objects.filter(pk__in=ids), "entry__listener_id")
            were = {target.row_id: target.state for target in targets}
            counts, ready = requeue(were, redelivery, database_clock.now())
        claim.keep(counts, len(targets))
        mine = RedeliveryTarget.objects.filter(redelivery=redelivery, is_entry=is_entry)
        mine.filter(row_id__in=ids)._raw_delete(DEFAULT_DB_ALIAS)
    return ready


def _lock_positions(rows: Any, listener: str) -> None:
    """Lock the positions, so that no ingest adds deliveries to the same chains.

    Inside the caller's transaction.
    """
    Position.objects.filter(listener__in=rows.order_by().values(listener)).lock()


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
    return broker.start_or_leave(TASK, redelivery_id=redelivery_id)


def start_due(now: datetime) -> int:
    """Send a task message for each due redelivery that no process runs; return how many.

    Never inside a transaction.
    """
    return start_due_jobs(Redelivery, now, send)


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
