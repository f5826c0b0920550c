"""Run a comparison: a worker's slice of it, or all of it while an operator waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from audit.jobs.claim import ClaimLost
from audit.models import Reconciliation
from consumer.reconciliation.claim import CLAIM, ReconciliationClaim
from consumer.reconciliation.compare import NotCarried, NothingToCompare, compare
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.schedule import is_ready
from handlers.listener_rest_client import CANNOT_READ
from handlers.sdk.outcomes import storable
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.connections.login_attempts import COOLDOWN_SECONDS
from listeners.models import Listener
from listeners.salesforce.errors import LoginRefused, Reaction, SalesforceError

log = structlog.get_logger(__name__)

State = Reconciliation.State

#: Seconds after which the comparison continues in another task.
BUDGET = 120.0
#: Failures in a row, without a page between them, after which an incident is opened.
MOST_ATTEMPTS = 12
_BACKOFF = Backoff(20.0, 600.0, jitter=0.5)
#: The longest time between two checks whether the stream has caught up.
LONGEST_LOOK = timedelta(seconds=30)
#: The window of a requested comparison, unless the operator names another: Salesforce's retention.
DEFAULT_WINDOW = timedelta(hours=72)

Watch = Callable[[Progress], None]


class SliceEnded(Exception):
    """The slice's time is over; the comparison continues in another slice."""


class ClaimsExpired(Exception):
    """Processes lost their claims without getting further. Look for the reason in their logs."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"{attempts} attempts got no further, and the last one ended without a word: its "
            f"process died, or one part took longer than {CLAIM.seconds // 60} minutes"
        )


class Refused(SalesforceError):
    """Entities that were not compared, each with the reason: usually the login's user may not query
    or read them."""

    def __init__(self, progress: Progress) -> None:
        super().__init__("; ".join(progress.refusals), reaction=Reaction.CONFIGURATION)
        self.needs_decision = progress.needs_decision


class WrongWindow(ValueError):
    """The window cannot be compared. The message completes a sentence that begins with "since"."""


def run(job_id: int, *, budget: float = BUDGET) -> None:
    """Run one comparison for up to `budget` seconds, unless another process runs it: claim → wait
    for the stream → compare → finish. Never inside a transaction."""
    claim = ReconciliationClaim.of(job_id, database_clock.now())
    if claim is None:
        return
    try:
        _run(claim, time.monotonic() + budget)
    except ClaimLost:
        log.info("reconciliation claimed by another process", reconciliation=job_id)


def _run(claim: ReconciliationClaim, ends_at: float) -> None:
    now = database_clock.now()
    if (attempts := claim.job.attempts) >= MOST_ATTEMPTS:
        claim.give_up(str(ClaimsExpired(attempts)), attempts)
        return
    if claim.is_resting and not claim.wake(now):
        return
    if not is_ready(claim.job, now):
        claim.release(now + _until_next_look(now - claim.job.window_end))
        return

    place = Progress.of(claim.job.cursor).place

    def end_slice(progress: Progress) -> None:
        # Many records of one second may take longer than a slice: the next one would repeat them.
        if time.monotonic() > ends_at and progress.place != place:
            raise SliceEnded

    try:
        progress = _work(claim, end_slice)
        if progress.refused:
            refusal = Refused(progress)
            progress.retry_refused()
            claim.keep(progress)
            _fail(claim, refusal)
    except SliceEnded:
        claim.release(database_clock.now())
    except (*CANNOT_READ, NothingToCompare, NotCarried) as error:
        _fail(claim, error)


def _until_next_look(waited: timedelta) -> timedelta:
    """Return the time until the next check: short after the loss, longer when the listener cannot
    connect for hours."""
    shortest = timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS / 2)
    return max(shortest, min(waited / 4, LONGEST_LOOK))


def _fail(claim: ReconciliationClaim, error: Exception) -> None:
    """Schedule another attempt, or give up: at once if only an operator can decide. Waiting for a
    daily limit does not count as a failure."""
    reaction = error.reaction if isinstance(error, SalesforceError) else None
    attempts = claim.job.attempts + (reaction is not Reaction.QUOTA)
    text = storable(str(error))
    log.warning("reconciliation failed", reconciliation=claim.job.pk, attempt=attempts, reason=text)
    needs_decision = isinstance(error, NotCarried) or (
        isinstance(error, Refused) and error.needs_decision
    )
    if attempts >= MOST_ATTEMPTS or needs_decision:
        claim.give_up(text, attempts, needs_decision=needs_decision)
        return
    if reaction is Reaction.QUOTA:
        seconds = float(settings.CDC_QUOTA_PROBE)
    elif isinstance(error, LoginRefused):  # Salesforce locks users out after a few refused logins
        seconds = COOLDOWN_SECONDS
    else:
        seconds = _BACKOFF.delay(attempts)
    claim.retry_at(database_clock.now() + timedelta(seconds=seconds), text, attempts)


def _work(claim: ReconciliationClaim, watch: Watch, *, accepts_deletions: bool = False) -> Progress:
    """Compare what is left, and finish the comparison if nothing was refused; return its progress.

    `watch` is called after each page, and may raise to stop. Raises ClaimLost, NothingToCompare,
    NotCarried and CANNOT_READ.
    """

    def on_page(progress: Progress) -> None:
        claim.keep(progress)
        watch(progress)

    progress = Progress.of(claim.job.cursor)
    compare(claim.job, progress, on_page, renew=claim.extend, accepts_deletions=accepts_deletions)
    if not progress.refused:
        claim.end(progress)
    return progress


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


def requested(
    listener: Listener,
    entity: str,
    since: datetime,
    until: datetime,
    by: str,
    *,
    ignores_filter: bool = False,
) -> Reconciliation:
    """Return the unsaved comparison that an operator requests. An empty entity means all.

    With `ignores_filter`, the entity is compared although the channel filters it.
    """
    now = database_clock.now()
    return Reconciliation(
        listener=listener,
        entity_name=entity,
        reason=Reconciliation.Reason.ASKED,
        requested_by=by[:150],
        cursor=Progress(unfiltered={entity}).cursor() if ignores_filter else {},
        window_start=since,
        window_end=until,
        due_at=now,
        created_at=now,
    )


def ignore_filter(listener: Listener, entity: str, now: datetime) -> None:
    """Let the listener's unfinished and given-up comparisons compare an entity although the channel
    filters it. Inside any transaction.

    A worker that runs one of them loses its claim, and another one continues. Another operator's
    comparison in the foreground is not changed.
    """
    jobs = (
        Reconciliation.objects.filter(listener=listener, entity_name__in=("", entity))
        .exclude(state=State.DONE)
        .exclude(state=State.RUNNING, reason=Reconciliation.Reason.ASKED)
    )
    with transaction.atomic():
        for job in jobs.select_for_update().order_by("pk"):
            progress = Progress.of(job.cursor)
            progress.ignore_filter(entity)
            job.cursor |= progress.cursor()
            if job.state == State.RUNNING:  # its process would write its own cursor
                job.state, job.claimed_until, job.due_at = State.WAITING, None, now
            job.save(update_fields=["cursor", "state", "claimed_until", "due_at"])


def run_requested(
    job: Reconciliation, watch: Watch, *, records: bool, accepts_deletions: bool
) -> tuple[Progress, list[str]]:
    """Compare now, in this process; return the progress, and why something was not compared,
    beside the entities that the channel does not carry.

    `watch` is called after each page. Without `records`, missing changes are only counted. After a
    KeyboardInterrupt the workers continue the comparison. Never inside a transaction.
    """
    if not records:
        progress = Progress.of(job.cursor)
        try:
            compare(job, progress, watch, records=False)
        except (*CANNOT_READ, NothingToCompare) as error:
            return progress, [*progress.refusals, str(error)]
        except NotCarried as error:
            return error.progress, []
        return progress, progress.refusals
    claim = ReconciliationClaim.of_new(job, database_clock.now())
    try:
        progress = _work(claim, watch, accepts_deletions=accepts_deletions)
    except (*CANNOT_READ, NothingToCompare) as error:
        claim.abandon(str(error))
        progress = Progress.of(claim.job.cursor)
        return progress, [*progress.refusals, str(error)]
    except NotCarried as error:
        claim.abandon(str(error))
        return error.progress, []
    except KeyboardInterrupt:
        claim.release(database_clock.now())
        raise
    if progress.refused:
        claim.abandon(str(Refused(progress)))
    return progress, progress.refusals
