"""Run a comparison that an operator requested and waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from audit.models import Reconciliation
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation.claim import ReconciliationClaim
from consumer.reconciliation.compare import NothingToCompare, compare
from consumer.reconciliation.progress import Figures, Progress
from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.clock import database_clock
from listeners.models import Listener

State = Reconciliation.State

#: Salesforce's retention window: the stream cannot bring older changes any more.
DEFAULT_WINDOW = timedelta(hours=72)

Watch = Callable[[Progress], None]


class WrongWindow(ValueError):
    """The window cannot be compared. The message completes a sentence that begins with "since"."""


def window(
    since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Return the window to compare, with defaults for missing ends. Raises WrongWindow."""
    since, until = since or now - DEFAULT_WINDOW, until or now
    if since >= until:
        raise WrongWindow("must be before --until")
    days = settings.CDC_RETENTION_DAYS
    if days is not None and since < now - timedelta(days=days):
        raise WrongWindow(
            f"is more than CDC_RETENTION_DAYS ({days}) ago: pruned changes would count as missing "
            "and be delivered again"
        )
    return since, until


@dataclass(frozen=True, slots=True)
class Asked:
    """A requested comparison. Without `records`, missing changes are only counted."""

    listener: Listener
    entity: str
    since: datetime
    until: datetime
    records: bool = True
    by: str = ""
    accepts_deletions: bool = False

    def job(self, now: datetime) -> Reconciliation:
        """Return the unsaved job of the comparison."""
        return Reconciliation(
            listener=self.listener,
            entity_name=self.entity,
            reason=Reconciliation.Reason.ASKED,
            requested_by=self.by[:150],
            window_start=self.since,
            window_end=self.until,
            due_at=now,
            created_at=now,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The figures of the compared entities, and the reasons why others were not compared."""

    figures: dict[str, Figures]
    failures: list[str]


def ask(asked: Asked, watch: Watch) -> Answer:
    """Compare now, in this process; `watch` is called after each page. Never inside a transaction.

    After a KeyboardInterrupt the workers continue the comparison.
    """
    now = database_clock.now()
    if not asked.records:
        return _counted(asked, watch, now)
    claim = ReconciliationClaim.of_new(asked.job(now), now)
    try:
        progress = reconciliation_job.work(claim, watch, accepts_deletions=asked.accepts_deletions)
    except (*CANNOT_READ, NothingToCompare) as error:
        claim.abandon(str(error))
        return _answer(Progress.of(claim.job.cursor), str(error))
    except KeyboardInterrupt:
        claim.release(database_clock.now())
        raise
    if progress.refused:
        claim.abandon(str(reconciliation_job.Refused(progress.refused)))
    return _answer(progress)


def _counted(asked: Asked, watch: Watch, now: datetime) -> Answer:
    progress = Progress()
    try:
        compare(asked.job(now), rest_of(asked.listener), progress, watch, records=False)
    except (*CANNOT_READ, NothingToCompare) as error:
        return _answer(progress, str(error))
    return _answer(progress)


def _answer(progress: Progress, *failures: str) -> Answer:
    refused = [f"{entity}: {why}" for entity, why in sorted(progress.refused.items())]
    figures = {entity: progress.figures[entity] for entity in sorted(progress.done)}
    return Answer(figures, [*refused, *failures])
