"""Work that takes a while says how far it is: the one place that writes `Work`."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import OperationalError, transaction

from audit.actions import Action, Actor, note
from audit.estimates import Total
from audit.models import Work
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Work.State

#: Seconds between two words of how far it is.
EVERY = 2.0
#: Silent for so long, its process is taken for dead. A reader may be slow.
SILENCE = timedelta(minutes=10)


class Running:
    """A piece of work that this process does."""

    def __init__(self, row: Work) -> None:
        self.row = row
        self._told_at = time.monotonic()
        self._is_over = False

    @classmethod
    def begin(cls, kind: str, by: Actor | None, criteria: dict[str, Any], total: Total) -> Running:
        """Inside any transaction. Without `by` it was due by itself."""
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
    def go_on(cls, work_id: int) -> Running | None:
        """With one that was left half-way."""
        row = Work.objects.filter(pk=work_id).first()
        return cls(row) if row else None

    @property
    def total(self) -> Total:
        return Total(self.row.total, self.row.is_estimate)

    def advance(self, rows: int = 1) -> None:
        """Tells of it now and then. A database that has no time for it is not waited for."""
        self.row.done += rows
        if time.monotonic() - self._told_at < EVERY:
            return
        self._told_at = time.monotonic()
        try:
            self._write(state=State.RUNNING, finished_at=None)
        except OperationalError as error:
            log.warning("progress is told later", work=self.row.pk, reason=str(error).strip())

    def pause(self, outcome: dict[str, Any]) -> None:
        """Another process goes on with it."""
        self._write(state=State.RUNNING, finished_at=None, outcome=outcome)

    def end(self, state: str = State.DONE, *, error: str = "", **outcome: Any) -> None:
        """The first end counts. Inside any transaction."""
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
    """Of an export, how much left: that it began is in the action log already. Inside the caller's
    transaction."""
    if row.kind != Work.Kind.EXPORT:
        return
    by = Actor(row.requested_by, row.through)
    details = {"rows": row.done, "ended": row.get_state_display()}
    note(by, Action.EXPORT_ENDED, row, details=details)


def bury(now: datetime) -> int:
    """Write down that the process of what is silent has died; of how many."""
    buried = 0
    for row in Work.objects.filter(state=State.RUNNING, seen_at__lt=now - SILENCE):
        silent = Work.objects.filter(pk=row.pk, state=State.RUNNING, seen_at=row.seen_at)
        with transaction.atomic(durable=True):
            if not silent.update(state=State.LOST, finished_at=now):
                continue
            row.state = State.LOST
            note_end(row)
        buried += 1
    return buried
