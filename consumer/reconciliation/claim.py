"""The claim of a comparison, renewed with each page (see `audit.jobs.claim`), and the comparison's
incident, which shows its progress and result.

After a crash the next claim continues from the stored cursor.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db.models import Case, F, When

from audit.jobs.claim import Claim
from audit.models import Incident, Reconciliation, Trouble
from consumer.reconciliation import report
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.schedule import has_failed
from handlers.sdk.outcomes import storable
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Reconciliation.State

CLAIM = timedelta(minutes=5)
#: The time between two checks whether a stopped listener runs again.
REST = timedelta(seconds=30)
#: The cursor's key for a comparison that waits for its stopped listener.
RESTS = "rests"
#: What an operator can do if the channel excludes what was to be compared.
_DECIDE = (
    "The comparison is not retried by itself, since the channel would exclude the same again. Do "
    "what the reason says, or, if you do not need the missing changes, close this incident and the "
    "one about their loss."
)
#: The cursor's key for the most steps that any attempt reached.
FURTHEST = "furthest"


class ReconciliationClaim(Claim[Reconciliation]):
    """A comparison that this process has claimed."""

    @classmethod
    def of(cls, job_id: int, now: datetime) -> ReconciliationClaim | None:
        """Claim a comparison; None if another process runs it, or it has ended.

        If another process has lost its claim, that counts as a failure: the process died, or a part
        takes longer than the claim and would repeat for ever.
        """
        related = ("listener__connection", "entry", "incident")
        found = Reconciliation.objects.select_related(*related).filter(pk=job_id)
        attempts = F("attempts") + Case(When(state=State.RUNNING, then=1), default=0)
        return cls.take(found, now, CLAIM, attempts=attempts)

    @classmethod
    def of_new(cls, job: Reconciliation, now: datetime) -> ReconciliationClaim:
        """Save a new comparison, claimed by this process."""
        job.claimed_until, job.state, job.started_at = now + CLAIM, State.RUNNING, now
        job.save()
        return cls(job, CLAIM)

    def keep(self, progress: Progress) -> None:
        """Save the progress and renew the claim."""
        job, total = self.job, progress.total
        # Failures are in a row if nothing new was compared between them. A refused entity starts
        # over, so only steps beyond the furthest attempt are new.
        furthest = job.cursor.get(FURTHEST, 0)
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
        self._set_action(
            f"Salesforce is being compared with the audit log: {job.compared:,} changed records so "
            f"far, {job.added:,} were missing and are now recorded; {job.looked_up:,} looked up by "
            f"id, {job.deletions_added:,} deletions were missing and are now recorded."
        )

    def end(self, progress: Progress) -> None:
        """Finish the comparison and close its incident: the window is proven complete.

        If the listener is stopped after a loss, further changes are being lost; then the comparison
        waits until the listener runs again.
        """
        now = database_clock.now()
        if has_failed(self.job):
            self._rest(progress, now)
            return
        text = report.summary(self.job, progress)
        with self.step():
            self.finish(State.DONE, error="", attempts=0, share=1, report=text)
            self._close_incidents(now)
        log.info("reconciliation finished", reconciliation=self.job.pk, added=self.job.added)

    def _rest(self, progress: Progress, now: datetime) -> None:
        self.release(now + REST, cursor={**progress.cursor(), RESTS: True})
        job = self.job
        self._set_action(
            f"Salesforce was compared with the audit log: of {job.compared:,} changed records "
            f"{job.added:,} were missing and are now recorded, and {job.deletions_added:,} "
            "deletions. The listener is stopped: later changes will be compared when it runs again."
        )

    @property
    def is_resting(self) -> bool:
        return RESTS in self.job.cursor

    def wake(self, now: datetime) -> bool:
        """Start over with a window up to now if the listener runs again; return whether it
        does."""
        if has_failed(self.job):
            self.release(now + REST)
            return False
        unfiltered = Progress.of(self.job.cursor).unfiltered
        cursor = Progress(unfiltered=unfiltered).cursor()
        self.update(cursor=cursor, window_end=now, **Reconciliation.BEGINNING)
        return True

    def retry_at(self, due_at: datetime, error: str, attempts: int) -> None:
        """Release the comparison after a failure, for another attempt."""
        progress = Progress.of(self.job.cursor)
        progress.read_members_again()
        cursor = self.job.cursor | progress.cursor()
        self.release(due_at, attempts=attempts, error=error, cursor=cursor)
        self._set_action(
            "The comparison of Salesforce with the audit log failed, and will be retried at "
            f"{due_at:%Y-%m-%d %H:%M:%S} UTC: {error}"
        )

    def abandon(self, error: str) -> None:
        """Mark the comparison as failed; the caller reports the error to the operator."""
        self.finish(State.FAILED, error=storable(error))

    def give_up(self, error: str, attempts: int, *, needs_decision: bool = False) -> None:
        """Mark the comparison as failed, and open an incident. `needs_decision`: the error says
        what an operator can decide, and nothing has to be corrected. Once resumed, it also tries
        the refused entities again."""
        progress = Progress.of(self.job.cursor)
        progress.retry_refused()
        cursor = self.job.cursor | progress.cursor()
        with self.step():
            self.finish(State.FAILED, error=error, attempts=attempts, cursor=cursor)
            self._set_action(
                f"The comparison of Salesforce with the audit log was given up: {error}"
            )
            trouble = _given_up(self.job, _DECIDE if needs_decision else _correct(self.job))
            Incident.objects.report(self.job.listener_id, trouble, database_clock.now())

    def _set_action(self, action: str) -> None:
        """Write the progress to the comparison's incident. Inside any transaction."""
        if self.job.incident_id is not None:
            Incident.objects.filter(pk=self.job.incident_id, closed_at=None).update(action=action)

    def _close_incidents(self, now: datetime) -> None:
        """Close the comparison's incident, unless another comparison for it is not done, and the
        one about its failure, with the report as the evidence. Inside the caller's transaction."""
        job = self.job
        if job.incident_id is not None:
            others = Reconciliation.objects.filter(incident_id=job.incident_id).exclude(pk=job.pk)
            if not others.exclude(state=State.DONE).exists():
                ended = Incident.objects.filter(pk=job.incident_id)
                ended.opened().update(action="")
                ended.settle(now, note=job.report)
        kind = Incident.Kind.RECONCILIATION
        Incident.objects.close(job.listener_id, kind, now, key=_key(job), note=job.report)


def _correct(job: Reconciliation) -> str:
    return (
        "Correct the cause, for example by giving the login's user access to the entity. Then run "
        f"manage.py reconcile_cdc --listener {job.listener.name}, which resumes this comparison."
    )


def _given_up(job: Reconciliation, remedy: str) -> Trouble:
    return Trouble(
        Incident.Kind.RECONCILIATION,
        _key(job),
        f"Salesforce could not be compared with the audit log ({job}): {job.error}",
        remedy,
        job.window_start,
        job.window_end,
        action="",
        lasts=True,
    )


def _key(job: Reconciliation) -> str:
    return f"{job.reason} {job.entity_name}".strip()
