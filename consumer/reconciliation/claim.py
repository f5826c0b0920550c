"""The claim of a comparison, renewed with each page; `audit.jobs.claim` says what a claim is.

A crash leaves a cursor to go on from.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from audit.jobs.claim import Claim
from audit.models import Reconciliation
from consumer.reconciliation import report, resolution
from consumer.reconciliation.caught_up import has_failed
from consumer.reconciliation.progress import Progress
from handlers.sdk.outcomes import storable
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


class ReconciliationClaim(Claim[Reconciliation]):
    """A comparison that this process runs."""

    @classmethod
    def of(cls, job_id: int, now: datetime) -> ReconciliationClaim | None:
        """Claim a comparison; None when another process runs it, or it has ended."""
        related = ("listener__connection", "entry", "incident")
        found = Reconciliation.objects.select_related(*related).filter(pk=job_id)
        return cls.take(found, now, CLAIM)

    @classmethod
    def of_new(cls, job: Reconciliation, now: datetime) -> ReconciliationClaim:
        """Save a new comparison as one that this process runs."""
        job.claimed_until, job.state, job.started_at = now + CLAIM, State.RUNNING, now
        job.save()
        return cls(job, CLAIM)

    def keep(self, progress: Progress) -> None:
        """Write the progress down and renew the claim."""
        total = progress.total
        # Failures in a row are those that nothing new was compared between. What was refused is
        # begun anew: that is nothing new until it comes further than before.
        furthest = self.job.cursor.get(FURTHEST, 0)
        is_further = total.steps > furthest
        self.extend(
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
        resolution.say_progress(self.job)

    def end(self, progress: Progress) -> None:
        """Done: what it was for is proven complete. Unless the listener stands still after a loss:
        then more is being lost, and it rests until the listener goes on."""
        now = database_clock.now()
        if has_failed(self.job):
            self._rest(progress, now)
            return
        with self.step():
            self.finish(
                State.DONE,
                error="",
                attempts=0,
                share=1,
                report=report.summary(self.job, progress),
            )
            resolution.done(self.job, now)
        log.info("compared", reconciliation=self.job.pk, added=self.job.added)

    def _rest(self, progress: Progress, now: datetime) -> None:
        self.release(now + REST, cursor={**progress.cursor(), RESTS: True})
        resolution.say_resting(self.job)

    @property
    def is_resting(self) -> bool:
        return RESTS in self.job.cursor

    def wake(self, now: datetime) -> bool:
        """Begin anew, with a window up to now, if the listener goes on; it rests on otherwise."""
        if has_failed(self.job):
            self.release(now + REST)
            return False
        self.update(cursor={}, window_end=now, **Reconciliation.BEGINNING)
        return True

    def abandon(self, error: str) -> None:
        """It failed, and who asked for it has been told."""
        self.finish(State.FAILED, error=storable(error))

    def give_up(self, error: str, attempts: int) -> None:
        with self.step():
            self.finish(State.FAILED, error=error, attempts=attempts)
            resolution.given_up(self.job, database_clock.now())
