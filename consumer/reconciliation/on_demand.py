"""A comparison that an operator asks for and waits for."""

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

#: As long as Salesforce keeps events: what is older cannot come from the stream any more.
DEFAULT_WINDOW = timedelta(hours=72)

Watch = Callable[[Progress], None]


class WrongWindow(ValueError):
    """Nothing can be compared in it; the message goes on from "since". Choose another one."""


def window(
    since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """The window to compare where only a part of it was said. Raises WrongWindow."""
    since, until = since or now - DEFAULT_WINDOW, until or now
    if since >= until:
        raise WrongWindow("must be before --until")
    days = settings.CDC_RETENTION_DAYS
    if days is not None and since < now - timedelta(days=days):
        raise WrongWindow(
            f"is more than CDC_RETENTION_DAYS ({days}) ago: changes that were pruned would be "
            "taken for missing, and delivered again"
        )
    return since, until


@dataclass(frozen=True, slots=True)
class Asked:
    """What to compare; without `records` what is missing is only counted."""

    listener: Listener
    entity: str
    since: datetime
    until: datetime
    records: bool = True
    by: str = ""
    accepts_deletions: bool = False

    def job(self, now: datetime) -> Reconciliation:
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
    """Figures of the entities that were compared, and why others were not."""

    figures: dict[str, Figures]
    failures: list[str]


def ask(asked: Asked, watch: Watch) -> Answer:
    """Compare now, in this process; `watch` is told of each page. Never inside a transaction.

    On KeyboardInterrupt the workers go on with it from where it is.
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
