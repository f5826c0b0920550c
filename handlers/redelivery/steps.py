"""The steps of a redelivery.

Each step is one transaction that keeps per-record order, and publishes its deliveries after the
commit: a redelivery that is killed has done exactly what its row counts.
"""

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
#: Seconds for which a step is retried after a database error, such as a deadlock with the deletion
#: of a mapping. Short, since a request may wait for it; the rest is done as a background job.
RETRY_SECONDS = 3.0

#: Called with the redelivery after each step.
Watch = Callable[[Redelivery], object]
Targets = Sequence[RedeliveryTarget]


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
