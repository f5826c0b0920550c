"""The steps of a redelivery, each of them one transaction that keeps the order of each record, and
each published after its commit: one that is killed half-way has done what its row counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from audit.db.retry import retry
from audit.models import AuditLogEntry
from handlers.models import Delivery, Redelivery, RedeliveryTarget
from handlers.outbox import publish
from handlers.redelivery import new_handlers
from handlers.redelivery.claim import RedeliveryClaim
from handlers.redelivery.requeue import requeue
from listeners import crash_points
from listeners.clock import database_clock
from listeners.models import Position

ROWS = 1000
#: A step that the database breaks off, in a deadlock with who deletes a mapping say, is retried for
#: so long: a request may wait for it, and what is left is a job's.
RETRY_SECONDS = 3.0

#: Is told how far it is after each step.
Watch = Callable[[Redelivery], object]
Targets = Sequence[RedeliveryTarget]


def work(
    claim: RedeliveryClaim,
    watch: Watch = lambda _: None,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    """Do what is left, until `is_over()`; whether all of it is done. What the broker does not take
    now, the relay publishes.

    Never inside a transaction. Raises ClaimLost, and what the database raises again and again.
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
    """A step's: of one kind, deliveries first. From where the last one ended: what was taken away
    there may still be in the way of who looks for the first."""
    left = RedeliveryTarget.objects.filter(redelivery=claim.job).order_by("row_id")
    if not is_entry:
        if found := list(left.filter(is_entry=False, row_id__gt=row_id)[:ROWS]):
            return found
        row_id = 0
    return list(left.filter(is_entry=True, row_id__gt=row_id)[:ROWS])


def _step(claim: RedeliveryClaim, targets: Targets) -> list[int]:
    """The ids to publish."""
    redelivery, ids = claim.job, [one.row_id for one in targets]
    is_entry = targets[0].is_entry
    with claim.step():
        if is_entry:
            _lock_positions(AuditLogEntry.objects.filter(pk__in=ids), "listener_id")
            counts, ready = new_handlers.deliver_to(ids, redelivery.handler, redelivery)
        else:
            _lock_positions(Delivery.objects.filter(pk__in=ids), "entry__listener_id")
            were = {one.row_id: one.state for one in targets}
            counts, ready = requeue(were, redelivery, database_clock.now())
        claim.keep(counts, len(targets))
        mine = RedeliveryTarget.objects.filter(redelivery=redelivery, is_entry=is_entry)
        mine.filter(row_id__in=ids)._raw_delete(DEFAULT_DB_ALIAS)
    return ready


def _lock_positions(rows: Any, listener: str) -> None:
    """Keep others from adding deliveries to the same chains. Inside the caller's transaction."""
    Position.objects.filter(listener__in=rows.order_by().values(listener)).lock()
