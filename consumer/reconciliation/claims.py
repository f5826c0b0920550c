"""Who runs a comparison: it is claimed for a while, and the claim renewed with each page.

A crash leaves a claim that ends, and a cursor to go on from.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Coalesce

from audit.models import Reconciliation
from consumer.reconciliation import outcome, report
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.readiness import has_failed
from handlers.outcomes import storable
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Reconciliation.State

CLAIM = timedelta(minutes=5)
#: Between two looks at whether a listener that stands still goes on.
REST = timedelta(seconds=30)
#: The key of a cursor that says so.
RESTS = "rests"
#: The key for how far it ever was.
FURTHEST = "furthest"


class ClaimLost(Exception):
    """Another process runs it, or its window was widened: nothing to do here."""


def claimed(job: Reconciliation, now: datetime) -> Claim:
    """Save a new comparison as one that this process runs."""
    job.claimed_until, job.state, job.started_at = now + CLAIM, State.RUNNING, now
    job.save()
    return Claim(job)


class Claim:
    """A comparison that this process runs."""

    def __init__(self, job: Reconciliation) -> None:
        self.job = job

    @classmethod
    def of(cls, job_id: int, now: datetime) -> Claim | None:
        """By compare-and-swap; None when it is another's, or done."""
        until = now + CLAIM
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        taken = Reconciliation.objects.filter(
            free, pk=job_id, state__in=(State.WAITING, State.RUNNING)
        ).update(claimed_until=until, state=State.RUNNING, started_at=Coalesce("started_at", now))
        if not taken:
            return None
        related = ("listener__connection", "entry", "incident")
        found = Reconciliation.objects.select_related(*related).filter(pk=job_id)
        job = found.filter(claimed_until=until).first()
        return cls(job) if job else None

    def keep(self, progress: Progress) -> None:
        """Write the progress down and renew the claim."""
        until = database_clock.now() + CLAIM
        total = progress.total
        # Failures in a row are those that nothing new was compared between. What was refused is
        # begun anew: that is nothing new until it comes further than before.
        furthest = self.job.cursor.get(FURTHEST, 0)
        is_further = total.steps > furthest
        self._update(
            claimed_until=until,
            cursor={**progress.cursor(), FURTHEST: max(total.steps, furthest)},
            compared=total.compared,
            present=total.present,
            known_in_part=total.in_part,
            added=total.missing,
            looked_up=total.looked_up,
            deletions_added=total.deleted,
            share=progress.share,
            **({"attempts": 0, "error": ""} if is_further else {}),
        )
        outcome.say_progress(self.job)

    def end(self, progress: Progress) -> None:
        """Done: what it was for is proven complete. Unless the listener stands still after a loss:
        then more is being lost, and it rests until the listener goes on."""
        now = database_clock.now()
        if has_failed(self.job):
            self._rest(progress, now)
            return
        with transaction.atomic(durable=True):
            self._update(
                claimed_until=None,
                state=State.DONE,
                finished_at=now,
                error="",
                attempts=0,
                share=1,
                report=report.summary(self.job, progress),
            )
            outcome.done(self.job, now)
        log.info("compared", reconciliation=self.job.pk, added=self.job.added)

    def _rest(self, progress: Progress, now: datetime) -> None:
        self._update(
            claimed_until=None,
            state=State.WAITING,
            due_at=now + REST,
            cursor={**progress.cursor(), RESTS: True},
        )
        outcome.say_resting(self.job)

    @property
    def is_resting(self) -> bool:
        return RESTS in self.job.cursor

    def wake(self, now: datetime) -> bool:
        """Begin anew, with a window up to now, if the listener goes on; it rests on otherwise."""
        if has_failed(self.job):
            self.release(now + REST)
            return False
        self._update(cursor={}, window_end=now, **Reconciliation.BEGINNING)
        return True

    def abandon(self, error: str) -> None:
        """It failed, and who asked for it has been told."""
        now = database_clock.now()
        self._update(claimed_until=None, state=State.FAILED, finished_at=now, error=storable(error))

    def give_up(self, error: str, attempts: int) -> None:
        now = database_clock.now()
        with transaction.atomic(durable=True):
            self._update(
                claimed_until=None,
                state=State.FAILED,
                finished_at=now,
                error=error,
                attempts=attempts,
            )
            outcome.given_up(self.job, now)

    def release(self, due_at: datetime, **changes: object) -> None:
        """Give it back, to be taken up then."""
        self._update(claimed_until=None, state=State.WAITING, due_at=due_at, **changes)

    def _update(self, **changes: object) -> None:
        mine = Reconciliation.objects.filter(pk=self.job.pk, claimed_until=self.job.claimed_until)
        if not mine.update(**changes):
            raise ClaimLost
        for name, value in changes.items():
            setattr(self.job, name, value)
