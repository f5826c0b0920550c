"""Track the progress of exports and prunings. No other module writes `Work`.

These jobs are not claimed: an export belongs to its process, and a pruning locks the rows that it
deletes. `mark_lost` ends a job whose process died.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import OperationalError, transaction

from audit.action_log import Action, Actor, note
from audit.db.row_count import Total
from audit.models import Work
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Work.State

#: Seconds between two writes of the progress.
EVERY = 2.0
#: A job without progress for so long is considered lost. Long, since the reader may be slow.
SILENCE = timedelta(minutes=10)


class TrackedJob:
    """A job that this process runs, and its row."""

    def __init__(self, row: Work) -> None:
        self.row = row
        self._written_at = time.monotonic()
        self._is_over = False

    @classmethod
    def begin(
        cls, kind: str, by: Actor | None, criteria: dict[str, Any], total: Total
    ) -> TrackedJob:
        """Create the row; `by` is None for a scheduled job. Inside any transaction."""
        now = database_clock.now()
        return cls(
            Work.objects.create(
                kind=kind,
                requested_by=by.name[:150] if by else "",
                through=by.through if by else "",
                criteria=criteria,
                total=total.number,
                is_estimate=total.is_estimate,
                started_at=now,
                seen_at=now,
            )
        )

    @classmethod
    def resume(cls, work_id: int) -> TrackedJob | None:
        """Continue a paused job; None when its row no longer exists."""
        row = Work.objects.filter(pk=work_id).first()
        return cls(row) if row else None

    @property
    def total(self) -> Total:
        return Total(self.row.total, self.row.is_estimate)

    def advance(self, rows: int = 1) -> None:
        """Add to the number of rows done, and save it every few seconds.

        The job continues when the database is unavailable.
        """
        self.row.done += rows
        if time.monotonic() - self._written_at < EVERY:
            return
        self._written_at = time.monotonic()
        try:
            self._write(state=State.RUNNING, finished_at=None)
        except OperationalError as error:
            log.warning("job progress not saved", work=self.row.pk, reason=str(error).strip())

    def pause(self, outcome: dict[str, Any]) -> None:
        """Save the state for another process that resumes the job."""
        self._write(state=State.RUNNING, finished_at=None, outcome=outcome)

    def end(self, state: str = State.DONE, *, error: str = "", **outcome: Any) -> None:
        """End the job; the first end counts. Inside any transaction."""
        if self._is_over:
            return
        self._is_over = True
        with transaction.atomic():
            self._write(state=state, finished_at=database_clock.now(), error=error, outcome=outcome)
            note_end(self.row)

    def _write(self, **changes: Any) -> None:
        changes |= {"done": self.row.done, "seen_at": database_clock.now()}
        Work.objects.filter(pk=self.row.pk).update(**changes)
        for name, value in changes.items():
            setattr(self.row, name, value)


def note_end(row: Work) -> None:
    """Add the end of an export, with its number of rows, to the action log.

    Inside the caller's transaction.
    """
    if row.kind != Work.Kind.EXPORT:
        return
    by = Actor(row.requested_by, row.through)
    details = {"rows": row.done, "ended": row.get_state_display()}
    note(by, Action.EXPORT_ENDED, row, details=details)


def mark_lost(now: datetime) -> int:
    """Mark jobs without progress as lost; return how many. Never inside a transaction."""
    lost = 0
    for row in Work.objects.filter(state=State.RUNNING, seen_at__lt=now - SILENCE):
        silent = Work.objects.filter(pk=row.pk, state=State.RUNNING, seen_at=row.seen_at)
        with transaction.atomic(durable=True):
            if not silent.update(state=State.LOST, finished_at=now):
                continue
            row.state = State.LOST
            note_end(row)
        lost += 1
    return lost
