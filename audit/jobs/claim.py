"""The claim of a background job: one process runs it, for a span of time that it extends.

A job is a row with `state`, `due_at`, `claimed_until`, `started_at` and `finished_at`:

    start_due_jobs → message to the workers → Claim.take → extend, each step → finish or release

All times are the database's (`listeners.clock`). The claim of a process that dies expires: then
`start_due_jobs` sends another message, and the worker that claims the job continues from the
progress in its row. A process that was only paused finds its claim lost, and writes nothing.

ClaimLost   another process runs the job, or it was cancelled or changed: stop, nothing was written
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Generic, Self, TypeVar

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce

from audit.db.prepared import Param, Prepared
from listeners.clock import database_clock

Job = TypeVar("Job", bound=models.Model)

#: The states of a job that has not ended, common to all kinds of jobs.
WAITING, RUNNING = "waiting", "running"
UNENDED = (WAITING, RUNNING)
#: Time for a worker to claim a job, until another message is sent.
SENT_AGAIN = timedelta(seconds=60)
#: Jobs started in one round: as many as a few workers can claim.
MOST_AT_ONCE = 20


class ClaimLost(Exception):
    """Another process runs the job, or it was cancelled or changed. Stop; nothing was written."""


def unclaimed(now: datetime | Param) -> Q:
    """Select the rows that no process holds a claim on."""
    return Q(claimed_until=None) | Q(claimed_until__lt=now)


class Claim(Generic[Job]):
    """A job that this process runs. Every write is a compare-and-swap on the claim, and raises
    ClaimLost when the process has lost it."""

    def __init__(self, job: Job, span: timedelta) -> None:
        self.job = job
        self._span = span

    @classmethod
    def take(
        cls, jobs: models.QuerySet[Job], now: datetime, span: timedelta, **changes: Any
    ) -> Self | None:
        """Claim the one job in `jobs`; None when another process runs it, or it has ended.

        Inside any transaction.
        """
        until = now + span
        taken = jobs.filter(unclaimed(now), state__in=UNENDED).update(
            claimed_until=until, state=RUNNING, started_at=Coalesce("started_at", now), **changes
        )
        job = jobs.filter(claimed_until=until).first() if taken else None
        return cls(job, span) if job is not None else None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run the block in a transaction; `job` is restored when it is rolled back."""
        before, self.job = self.job, copy(self.job)
        try:
            with transaction.atomic(durable=True):
                yield
        except BaseException:
            self.job = before
            raise

    def update(self, **changes: Any) -> None:
        """Save `changes`. Inside a `step`, or no transaction."""
        job: Any = self.job
        mine = type(job).objects.filter(pk=job.pk, state=RUNNING, claimed_until=job.claimed_until)
        if not mine.update(**changes):
            raise ClaimLost
        for name, value in changes.items():
            setattr(job, name, value)

    def extend(self, **progress: Any) -> None:
        """Save the progress and renew the claim. Inside a `step`, or no transaction."""
        self.update(claimed_until=database_clock.now() + self._span, **progress)

    def finish(self, state: str, **changes: Any) -> None:
        """End the job. Inside a `step`, or no transaction."""
        self.update(claimed_until=None, state=state, finished_at=database_clock.now(), **changes)

    def release(self, due_at: datetime, **changes: Any) -> None:
        """Release the job, to be claimed again after `due_at`. Never inside a transaction."""
        self.update(claimed_until=None, state=WAITING, due_at=due_at, **changes)


@cache
def _due(kind: type[models.Model]) -> Prepared:
    """Return the query for the due jobs of one kind that no process runs."""
    return Prepared(
        lambda: (
            kind._default_manager.filter(
                unclaimed(Param("now")), state__in=UNENDED, due_at__lte=Param("now")
            )
            .order_by("due_at")
            .values_list("pk", "due_at")[:MOST_AT_ONCE]
        )
    )


def start_due_jobs(kind: type[models.Model], now: datetime, send: Callable[[int], bool]) -> int:
    """Send a task message for each due job that no process runs; return how many.

    `send` returns whether the broker took the message. A message that the broker did not take, or
    lost, is sent again later. Never inside a transaction.
    """
    sent = 0
    for pk, due_at in _due(kind).rows(now=now):
        # The process that moves the due time sends the message.
        mine = kind._default_manager.filter(pk=pk, due_at=due_at, state__in=UNENDED)
        if not mine.update(due_at=now + SENT_AGAIN):
            continue
        if not send(pk):
            break
        sent += 1
    return sent
