"""The claim of a comparison, renewed with each page (see `audit.jobs.claim`).

After a crash the next claim continues from the stored cursor.
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
#: The time between two checks whether a stopped listener runs again.
REST = timedelta(seconds=30)
#: The cursor's key for a comparison that waits for its stopped listener.
RESTS = "rests"
#: The cursor's key for the most steps that any attempt reached.
FURTHEST = "furthest"


class ReconciliationClaim(Claim[Reconciliation]):
    """A comparison that this process has claimed."""

    @classmethod
    def of(cls, job_id: int, now: datetime) -> ReconciliationClaim | None:
        """Claim a comparison; None if another process runs it, or it has ended."""
        related = ("listener__connection", "entry", "incident")
        found = Reconciliation.objects.select_related(*related).filter(pk=job_id)
        return cls.take(found, now, CLAIM)

    @classmethod
    def of_new(cls, job: Reconciliation, now: datetime) -> ReconciliationClaim:
        """Save a new comparison, claimed by this process."""
        job.claimed_until, job.state, job.started_at = now + CLAIM, State.RUNNING, now
        job.save()
        return cls(job, CLAIM)

    def keep(self, progress: Progress) -> None:
        """Save the progress and renew the claim."""
        total = progress.total
        # Failures are in a row if nothing new was compared between them. A refused entity starts
        # over, so only steps beyond the furthest attempt are new.
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
        resolution.write_progress(self.job)

    def end(self, progress: Progress) -> None:
        """Finish the comparison and close its incident: the window is proven complete.

        If the listener is stopped after a loss, further changes are being lost; then the comparison
        waits until the listener runs again.
        """
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
        log.info("reconciliation finished", reconciliation=self.job.pk, added=self.job.added)

    def _rest(self, progress: Progress, now: datetime) -> None:
        self.release(now + REST, cursor={**progress.cursor(), RESTS: True})
        resolution.write_waiting(self.job)

    @property
    def is_resting(self) -> bool:
        return RESTS in self.job.cursor

    def wake(self, now: datetime) -> bool:
        """Start over with a window up to now if the listener runs again; return whether it
        does."""
        if has_failed(self.job):
            self.release(now + REST)
            return False
        self.update(cursor={}, window_end=now, **Reconciliation.BEGINNING)
        return True

    def abandon(self, error: str) -> None:
        """Mark the comparison as failed; the caller reports the error to the operator."""
        self.finish(State.FAILED, error=storable(error))

    def give_up(self, error: str, attempts: int) -> None:
        """Mark the comparison as failed, and open an incident."""
        with self.step():
            self.finish(State.FAILED, error=error, attempts=attempts)
            resolution.given_up(self.job, database_clock.now())
