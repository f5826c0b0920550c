"""Who does a redelivery: it is claimed for a while, and the claim renewed with each step.

A crash leaves a claim that ends, and the targets that are left.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from handlers.models import Redelivery
from handlers.redelivery import Counts, counts_of, sent, stored
from listeners.clock import database_clock

log = structlog.get_logger(__name__)

State = Redelivery.State

#: Claims in a row that came no further, after which an operator is asked.
MOST_TRIES = 5
_NO_FURTHER = "It was begun several times and came no further; the workers' log says why."


class ClaimLost(Exception):
    """Another process does it, or it was cancelled: nothing to do here."""


class Claim:
    """A redelivery that this process does."""

    def __init__(self, redelivery: Redelivery) -> None:
        self.redelivery = redelivery
        self.counts = counts_of(redelivery)

    @classmethod
    def of(cls, redelivery_id: int, now: datetime) -> Claim | None:
        """By compare-and-swap; None when it is another's, or over."""
        until = now + _span()
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        taken = Redelivery.objects.filter(
            free, pk=redelivery_id, state__in=Redelivery.UNENDED
        ).update(
            state=State.RUNNING,
            claimed_until=until,
            due_at=until,
            tries=F("tries") + 1,
            started_at=Coalesce("started_at", now),
        )
        found = Redelivery.objects.filter(pk=redelivery_id, claimed_until=until).first()
        if not taken or found is None:
            return None
        claim = cls(found)
        if found.tries > MOST_TRIES:
            claim.give_up()
            return None
        return claim

    def keep(self, counts: Counts, looked_at: int) -> dict[str, Any]:
        """Write down what a step did and renew the claim. Inside the step's transaction; `kept` is
        told of the answer when that is committed."""
        until = database_clock.now() + _span()
        changes: dict[str, Any] = {
            "claimed_until": until,
            "due_at": until,
            "counts": stored(self.counts + counts),
            "count": self.redelivery.count + sent(counts),
            "done": self.redelivery.done + looked_at,
            "tries": 0,
            "error": "",
        }
        self._write(changes)
        return changes

    def kept(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            setattr(self.redelivery, name, value)
        self.counts = counts_of(self.redelivery)

    def end(self) -> None:
        self._update(
            claimed_until=None, state=State.DONE, finished_at=database_clock.now(), error=""
        )
        log.info(
            "redelivered",
            redelivery=self.redelivery.pk,
            by=self.redelivery.requested_by,
            deliveries=self.redelivery.count,
        )

    def release(self, due_at: datetime, **changes: Any) -> None:
        """Give it back, to be taken up then."""
        self._update(claimed_until=None, state=State.WAITING, due_at=due_at, **changes)

    def give_up(self) -> None:
        error = self.redelivery.error or _NO_FURTHER
        now = database_clock.now()
        self._update(claimed_until=None, state=State.FAILED, finished_at=now, error=error)
        log.error("a redelivery was given up", redelivery=self.redelivery.pk, reason=error)

    def _update(self, **changes: Any) -> None:
        self._write(changes)
        self.kept(changes)

    def _write(self, changes: dict[str, Any]) -> None:
        mine = Redelivery.objects.filter(
            pk=self.redelivery.pk, state=State.RUNNING, claimed_until=self.redelivery.claimed_until
        )
        if not mine.update(**changes):
            raise ClaimLost


def _span() -> timedelta:
    return timedelta(seconds=settings.CDC_CLAIM_SECONDS)
