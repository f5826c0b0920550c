"""Retention as a background job with progress."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import Total
from audit.jobs.tracked import TrackedJob
from audit.models import Work
from consumer.retention import prune as retention
from consumer.retention.prune import Pruned


def begin(days: int, by: Actor | None, total: Total) -> TrackedJob:
    return TrackedJob.begin(Work.Kind.PRUNE, by, {"older_than_days": days}, total)


def prune(
    days: int,
    now: datetime,
    work: TrackedJob,
    *,
    is_over: Callable[[], bool] = lambda: False,
    watch: Callable[[int], object] = lambda _: None,
) -> Pruned:
    """Delete older data until `is_over()`. Never inside a transaction."""

    def report(rows: int) -> None:
        work.advance(rows)
        watch(rows)

    try:
        pruned = retention.prune(days, now, is_over=is_over, watch=report)
    except KeyboardInterrupt:
        work.end(Work.State.BROKEN_OFF)
        raise
    except Exception as error:
        work.end(Work.State.FAILED, error=f"{type(error).__name__}: {error}")
        raise
    _add(work, pruned)
    return pruned


def _add(work: TrackedJob, pruned: Pruned) -> None:
    """Add the result of this slice to those of earlier slices."""
    before = {"entries": 0, "deliveries": 0, **work.row.outcome}
    outcome = {name: before.get(name, 0) + number for name, number in pruned.rows.items()}
    if pruned.is_finished:
        work.end(**{**before, **outcome, "kept": pruned.kept})
    else:
        work.pause({**before, **outcome})


def scheduled(
    days: int, work_id: int | None, *, is_over: Callable[[], bool]
) -> tuple[bool, int | None]:
    """Run a slice of the scheduled retention; return whether it is finished, and the job's id."""
    now = timezone.now()
    work = TrackedJob.resume(work_id) if work_id is not None else None
    work = work or begin(days, None, retention.total(days, now))
    pruned = prune(days, now, work, is_over=is_over)
    return pruned.is_finished, work.row.pk
