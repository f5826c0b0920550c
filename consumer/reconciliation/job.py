"""A worker's slice of a comparison: claim → wait for the stream → compare → finish."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.conf import settings

from audit.jobs.claim import ClaimLost
from consumer.reconciliation import resolution
from consumer.reconciliation.caught_up import is_ready
from consumer.reconciliation.claim import ReconciliationClaim
from consumer.reconciliation.compare import NothingToCompare, compare
from consumer.reconciliation.progress import Progress
from handlers.listener_rest_client import CANNOT_READ, rest_of
from handlers.sdk.outcomes import storable
from listeners.clock import database_clock
from listeners.connections.login_attempts import COOLDOWN_SECONDS
from listeners.salesforce.backoff import Backoff
from listeners.salesforce.errors import LoginRefused, Reaction, SalesforceError

log = structlog.get_logger(__name__)

#: Seconds after which the comparison continues in another task.
BUDGET = 120.0
#: Failures in a row, without a page between them, after which an incident is opened.
MOST_ATTEMPTS = 12
_BACKOFF = Backoff(20.0, 600.0, jitter=0.5)
#: The longest time between two checks whether the stream has caught up.
LONGEST_LOOK = timedelta(seconds=30)


class SliceEnded(Exception):
    """The slice's time is over; the comparison continues in another slice."""


def run(job_id: int, *, budget: float = BUDGET) -> None:
    """Run one comparison for up to `budget` seconds, unless another process runs it. Never inside a
    transaction."""
    claim = ReconciliationClaim.of(job_id, database_clock.now())
    if claim is None:
        return
    try:
        _run(claim, time.monotonic() + budget)
    except ClaimLost:
        log.info("reconciliation claimed by another process", reconciliation=job_id)


def _run(claim: ReconciliationClaim, ends_at: float) -> None:
    now = database_clock.now()
    if claim.is_resting and not claim.wake(now):
        return
    if not is_ready(claim.job, now):
        claim.release(now + _until_next_look(now - claim.job.window_end))
        return
    try:
        progress = work(claim, lambda _: _end_slice(ends_at))
        if progress.refused:
            refusal = Refused(progress.refused)
            progress.refused = {}  # the next attempt retries them: the cause may be fixed by then
            claim.keep(progress)
            fail(claim, refusal)
    except SliceEnded:
        claim.release(database_clock.now())
    except (*CANNOT_READ, NothingToCompare) as error:
        fail(claim, error)


def work(
    claim: ReconciliationClaim,
    watch: Callable[[Progress], None],
    *,
    accepts_deletions: bool = False,
) -> Progress:
    """Compare what is left, and finish the comparison if nothing was refused; return its progress.

    `watch` is called after each page, and may raise to stop. Raises ClaimLost, NothingToCompare and
    CANNOT_READ.
    """
    job = claim.job

    def on_page(progress: Progress) -> None:
        claim.keep(progress)
        watch(progress)

    progress = Progress.of(job.cursor)
    rest = rest_of(job.listener)
    compare(job, rest, progress, on_page, accepts_deletions=accepts_deletions)
    if not progress.refused:
        claim.end(progress)
    return progress


def _until_next_look(waited: timedelta) -> timedelta:
    """Return the time until the next check: short after the loss, longer when the listener cannot
    connect for hours."""
    shortest = timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS / 2)
    return max(shortest, min(waited / 4, LONGEST_LOOK))


def _end_slice(ends_at: float) -> None:
    if time.monotonic() > ends_at:
        raise SliceEnded


def fail(claim: ReconciliationClaim, error: Exception) -> None:
    """Schedule another attempt, or give up. Waiting for a daily limit does not count as a
    failure."""
    reaction = error.reaction if isinstance(error, SalesforceError) else None
    attempts = claim.job.attempts + (reaction is not Reaction.QUOTA)
    text = storable(str(error))
    log.warning("reconciliation failed", reconciliation=claim.job.pk, attempt=attempts, reason=text)
    if attempts >= MOST_ATTEMPTS:
        claim.give_up(text, attempts)
        return
    due_at = database_clock.now() + timedelta(seconds=_pause(error, reaction, attempts))
    claim.release(due_at, attempts=attempts, error=text)
    resolution.write_failure(claim.job)


def _pause(error: Exception, reaction: Reaction | None, attempts: int) -> float:
    if reaction is Reaction.QUOTA:
        return float(settings.CDC_QUOTA_PROBE)
    if isinstance(error, LoginRefused):  # Salesforce locks users out after a few refused logins
        return COOLDOWN_SECONDS
    return _BACKOFF.delay(attempts)


class Refused(SalesforceError):
    """Entities that were not compared, each with the reason: usually the login's user may not query
    or read them."""

    def __init__(self, refused: dict[str, str]) -> None:
        reasons = "; ".join(f"{entity}: {why}" for entity, why in sorted(refused.items()))
        super().__init__(reasons, reaction=Reaction.CONFIGURATION)
