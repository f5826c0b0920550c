"""The claim of a background job: one process runs it, for a span of time that it extends.

A job is a row with `state`, `due_at`, `claimed_until`, `started_at` and `finished_at`:

    start_due_jobs → message to the workers → Claim.take → extend, each step → finish or release

Times are the database's (`listeners.clock`). A process that dies leaves a claim that ends by
itself: after that `start_due_jobs` asks the workers again, and the one that takes the job goes on
from what its row says. A process that was only paused finds its claim lost, and writes nothing.

ClaimLost   another process runs the job, or it was cancelled or changed: stop, nothing was written
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce

from listeners.clock import database_clock

Job = TypeVar("Job", bound=models.Model)

#: The states of a job that has not ended. Each kind of job has them, and its own ends.
WAITING, RUNNING = "waiting", "running"
UNENDED = (WAITING, RUNNING)
#: A worker that was asked has so long to begin, until another message is sent.
SENT_AGAIN = timedelta(seconds=60)
#: Jobs started in one go: as many as a few workers can begin.
MOST_AT_ONCE = 20


class ClaimLost(Exception):
    """Another process runs the job, or it was cancelled or changed: nothing to do here."""


def unclaimed(now: datetime) -> Q:
    """Select the rows that no process holds a claim on."""
    return Q(claimed_until=None) | Q(claimed_until__lt=now)


class Claim(Generic[Job]):
    """A job that this process runs. Every write is a compare-and-swap on the claim, and raises
    ClaimLost when it is another's."""

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
        """A transaction of its own; where it is rolled back, `job` is as it was before."""
        before, self.job = self.job, copy(self.job)
        try:
            with transaction.atomic(durable=True):
                yield
        except BaseException:
            self.job = before
            raise

    def update(self, **changes: Any) -> None:
        """Write these down. Inside a `step`, or no transaction."""
        job: Any = self.job
        mine = type(job).objects.filter(pk=job.pk, state=RUNNING, claimed_until=job.claimed_until)
        if not mine.update(**changes):
            raise ClaimLost
        for name, value in changes.items():
            setattr(job, name, value)

    def extend(self, **progress: Any) -> None:
        """Write the progress down and renew the claim. Inside a `step`, or no transaction."""
        self.update(claimed_until=database_clock.now() + self._span, **progress)

    def finish(self, state: str, **changes: Any) -> None:
        """End the job. Inside a `step`, or no transaction."""
        self.update(claimed_until=None, state=state, finished_at=database_clock.now(), **changes)

    def release(self, due_at: datetime, **changes: Any) -> None:
        """Give the job back, to be taken up then. Never inside a transaction."""
        self.update(claimed_until=None, state=WAITING, due_at=due_at, **changes)


def start_due_jobs(jobs: models.QuerySet[Any], now: datetime, send: Callable[[int], bool]) -> int:
    """Ask the workers to run each job that is due and that nobody runs; return how many.

    `send` says whether the broker took the message. A job whose message it did not take, or lost,
    is asked for again after a while. Never inside a transaction.
    """
    due = jobs.filter(unclaimed(now), state__in=UNENDED, due_at__lte=now).order_by("due_at")
    sent = 0
    for pk, due_at in due.values_list("pk", "due_at")[:MOST_AT_ONCE]:
        # The process that moves the due time sends the message.
        mine = jobs.filter(pk=pk, due_at=due_at, state__in=UNENDED)
        if not mine.update(due_at=now + SENT_AGAIN):
            continue
        if not send(pk):
            break
        sent += 1
    return sent
