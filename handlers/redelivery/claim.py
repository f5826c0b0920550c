"""The job claim of a redelivery; see `audit.jobs.claim`.

After a crash, the remaining targets are still in the database for the next claim.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import F

from audit.jobs.claim import Claim
from handlers.models import Redelivery
from handlers.redelivery.request import Counts, counts_of, sent, stored

log = structlog.get_logger(__name__)

State = Redelivery.State

#: Consecutive claims without progress after which the redelivery fails and needs an operator.
MOST_TRIES = 5
_NO_FURTHER = (
    "The redelivery was started several times without progress. The worker log has the reason."
)


class RedeliveryClaim(Claim[Redelivery]):
    """A redelivery that this process runs."""

    @classmethod
    def of(cls, redelivery_id: int, now: datetime) -> RedeliveryClaim | None:
        """Claim a redelivery; None when another process runs it, or it has ended or failed.

        Inside any transaction.
        """
        span = timedelta(seconds=settings.CDC_CLAIM_SECONDS)
        found = Redelivery.objects.filter(pk=redelivery_id)
        claim = cls.take(found, now, span, tries=F("tries") + 1)
        if claim is not None and claim.job.tries > MOST_TRIES:
            claim.give_up()
            return None
        return claim

    @property
    def counts(self) -> Counts:
        return counts_of(self.job)

    def keep(self, counts: Counts, looked_at: int) -> None:
        """Save the progress of a step and renew the claim. Inside the `step`."""
        self.extend(
            counts=stored(self.counts + counts),
            count=self.job.count + sent(counts),
            done=self.job.done + looked_at,
            tries=0,
            error="",
        )

    def end(self) -> None:
        self.finish(State.DONE, error="")
        log.info(
            "redelivered",
            redelivery=self.job.pk,
            by=self.job.requested_by,
            deliveries=self.job.count,
        )

    def give_up(self) -> None:
        error = self.job.error or _NO_FURTHER
        self.finish(State.FAILED, error=error)
        log.error("redelivery failed", redelivery=self.job.pk, reason=error)
