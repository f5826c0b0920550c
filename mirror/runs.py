"""Runs of mirrors as background jobs: request, claim, run for a slice of time, cancel.

A kind of run is a function of the claim. It saves its progress with `claim.keep`, so that after a
crash the next claim continues from the run's `cursor`, and returns one of

Finished    the run is done; `is_right` says whether it proved what it was to prove
Later       the slice is over, or the run waits: it continues after some seconds

or raises RunFailed, after which the run needs an operator. Other errors of Salesforce or of the
database are retried with back-off; too many in a row without progress fail the run.

    request → message to the workers → RunClaim.of → the kind's function → finish or release
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F

from audit.jobs.claim import SENT_AGAIN, Claim, ClaimLost, start_due_jobs, unclaimed
from handlers import broker
from handlers.listener_rest_client import CANNOT_READ
from handlers.sdk.outcomes import storable
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.connections.login_attempts import COOLDOWN_SECONDS
from listeners.salesforce.errors import LoginRefused, Reaction, SalesforceError
from mirror.db_remedy import remedy_of
from mirror.models import Mirror, MirrorRun

log = structlog.get_logger(__name__)

Kind, State = MirrorRun.Kind, MirrorRun.State

TASK = "mirror.run"
#: The depths of a verification, cheapest first.
DEPTHS = ("counts", "ids", "sample", "full")
#: Consecutive claims without progress after which the run fails.
MOST_TRIES = 12
#: Seconds after which a run continues in another task, so that deliveries get their turn.
BUDGET = 30.0
#: Loads that transfer rows at the same time.
LOADS_AT_ONCE = 2
_BUSY = timedelta(seconds=5)
_BACKOFF = Backoff(5.0, 300.0, jitter=0.5)
_NO_FURTHER = "The run was started several times without progress. The worker log has the reason."


class RunFailed(Exception):
    """The run cannot succeed. The message says what happened, to what, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is done."""

    is_right: bool
    report: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """The run continues after `seconds`; `reason` is shown until then, empty if it only pauses."""

    seconds: float = 0.0
    reason: str = ""


class RunClaim(Claim[MirrorRun]):
    """A run that this process works on."""

    def __init__(self, job: MirrorRun, span: timedelta) -> None:
        super().__init__(job, span)
        self._ends_at = time.monotonic() + min(BUDGET, settings.CDC_RUN_SECONDS / 2)

    @classmethod
    def of(cls, run_id: int, now: datetime) -> RunClaim | None:
        """Claim a run; None when another process runs it, it has ended or failed, or it must wait
        for another run of its mirror. Never inside a transaction."""
        span = timedelta(seconds=settings.CDC_CLAIM_SECONDS)
        found = MirrorRun.objects.filter(pk=run_id)
        run = found.select_related("mirror").first()
        if run is None:
            return None
        with transaction.atomic(durable=True):
            counted = {} if run.kind == Kind.LOAD else {"pk": run.mirror_id}  # loads: of all
            list(Mirror.objects.filter(**counted).order_by("pk").select_for_update())
            if reason := _must_wait(run, now):
                found.filter(unclaimed(now), state__in=MirrorRun.UNENDED).update(
                    due_at=now + _BUSY, waits_for=reason
                )
                return None
            related = found.select_related("mirror__listener__connection")
            claim = cls.take(related, now, span, tries=F("tries") + 1, waits_for="")
        if claim is not None and claim.job.tries > MOST_TRIES:
            claim.fail(claim.job.error or _NO_FURTHER)
            return None
        return claim

    @property
    def is_slice_over(self) -> bool:
        """Whether the run should return `Later()` at its next step."""
        return time.monotonic() > self._ends_at

    def keep(self, **progress: Any) -> None:
        """Save the progress of a step, such as `cursor` and `done`, and renew the claim.

        Inside a `step`, or no transaction.
        """
        self.extend(tries=0, error="", **progress)

    def fail(self, error: str, **changes: Any) -> None:
        """End the run as failed. Inside a `step`, or no transaction."""
        self.finish(State.FAILED, error=storable(error), is_right=False, waits_for="", **changes)
        log.error(
            "mirror run failed", run=self.job.pk, kind=self.job.kind, mirror=str(self.job.mirror),
            reason=error,
        )  # fmt: skip


RunFunction = Callable[[RunClaim], Finished | Later]


def _must_wait(run: MirrorRun, now: datetime) -> str:
    """Return why the run cannot be claimed now, or an empty text. The mirror's row is locked."""
    running = MirrorRun.objects.filter(state=State.RUNNING, claimed_until__gte=now)
    other = running.filter(mirror=run.mirror_id).exclude(pk=run.pk).first()
    if other is not None:
        return f"{other.title} of the same mirror"
    if run.kind == Kind.LOAD and running.filter(kind=Kind.LOAD).count() >= LOADS_AT_ONCE:
        return f"{LOADS_AT_ONCE} other loads, the most at once"
    return ""


def request(
    mirror: Mirror,
    kind: str,
    now: datetime,
    *,
    by: str = "",
    options: Mapping[str, Any] | None = None,
    after: timedelta = SENT_AGAIN,
) -> tuple[MirrorRun, bool]:
    """Create a run of the mirror, or return the one that has not ended; and whether it is new.

    A run that has not ended does all that is requested: a verification goes deeper.

    The caller sends the message after its commit (`start`); without one, the run starts `after`.
    Inside the caller's transaction.
    """
    unended = mirror.runs.filter(kind=kind, state__in=MirrorRun.UNENDED)
    if (run := unended.first()) is not None:
        wider = _widened(kind, run.options, dict(options or {}))
        if wider != run.options and unended.filter(pk=run.pk).update(options=wider):
            run.options = wider
        return run, False
    try:
        with transaction.atomic():
            run = mirror.runs.create(
                kind=kind,
                requested_by=by[:150],
                options=dict(options or {}),
                created_at=now,
                due_at=now + after,
            )
    except IntegrityError:  # another process requested the same
        return unended.get(), False
    return run, True


def _widened(kind: str, known: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run that does what both say."""
    match kind:
        case Kind.VERIFY:
            since = min(filter(None, (known.get("since"), wanted.get("since"))), default=None)
            return _deeper(known, wanted) | ({} if since is None else {"since": since})
        case Kind.FORMULAS:
            return {name: known[name] for name in known if name in wanted}
        case Kind.REPAIR:
            accepts = any(one.get("accept_deletions") for one in (known, wanted))
            return known | wanted | ({"accept_deletions": True} if accepts else {})
    return known


def _deeper(known: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the verification that finds more."""
    if "fields" in wanted:
        return known
    if "fields" in known:
        return wanted
    return max((known, wanted), key=lambda one: DEPTHS.index(one.get("depth", "full")))


def send(run_id: int) -> bool:
    """Send the task message; return whether the broker took it. `start_due` sends it otherwise."""
    return broker.start_or_leave(TASK, run_id=run_id)


def start(run_id: int) -> None:
    """Send the task message of a new run. Without the broker, the relay's next round starts it.
    After the commit of the request."""
    if not send(run_id):
        waiting = MirrorRun.objects.filter(pk=run_id, state=State.WAITING)
        waiting.update(due_at=database_clock.now())


def start_due(now: datetime) -> int:
    """Send a task message for each due run that no process works on; return how many.

    Never inside a transaction.
    """
    return start_due_jobs(MirrorRun, now, send)


def cancel(run_id: int, now: datetime) -> bool:
    """Cancel a run; return False when it had already ended. Rows that it wrote stay.

    Inside any transaction.
    """
    mine = MirrorRun.objects.filter(pk=run_id, state__in=MirrorRun.UNENDED)
    ended = {"state": State.CANCELLED, "claimed_until": None, "finished_at": now, "waits_for": ""}
    return bool(mine.update(**ended))


def work(run_id: int, kinds: Mapping[str, RunFunction]) -> None:
    """Run for one slice of time, unless another process does. Never inside a transaction."""
    claim = RunClaim.of(run_id, database_clock.now())
    if claim is None:
        return
    run = claim.job
    try:
        _end(claim, kinds[run.kind](claim))
    except ClaimLost:
        log.info("mirror run claimed by another process, or cancelled", run=run.pk)
    except RunFailed as failure:
        with suppress(ClaimLost):
            claim.fail(str(failure))
    except (*CANNOT_READ, DatabaseError, ValueError, ArithmeticError) as error:
        with suppress(ClaimLost):  # the last two: of values that Salesforce returned
            _postpone(claim, error)


def _end(claim: RunClaim, outcome: Finished | Later) -> None:
    now = database_clock.now()
    match outcome:
        case Finished():
            claim.finish(
                State.DONE,
                is_right=outcome.is_right,
                report=outcome.report,
                error=storable(outcome.error),
            )
            log.info(
                "mirror run done", run=claim.job.pk, kind=claim.job.kind,
                mirror=str(claim.job.mirror), rows=claim.job.done, is_right=outcome.is_right,
            )  # fmt: skip
        case Later(seconds=0.0):
            claim.release(now + SENT_AGAIN)
            send(claim.job.pk)
        case Later():
            due_at = now + timedelta(seconds=outcome.seconds)
            claim.release(due_at, tries=0, waits_for=storable(outcome.reason))


def _postpone(claim: RunClaim, error: Exception) -> None:
    """Schedule another attempt. A used-up daily limit and the wait for it count as no failure."""
    text, tries = storable(_reason(error)), claim.job.tries
    is_quota = isinstance(error, SalesforceError) and error.reaction is Reaction.QUOTA
    if tries >= MOST_TRIES and not is_quota:
        claim.fail(text)
        return
    if is_quota:
        seconds, tries = float(settings.CDC_QUOTA_PROBE), 0
    elif isinstance(error, LoginRefused):  # Salesforce locks users out after a few refused logins
        seconds = COOLDOWN_SECONDS
    else:
        seconds = _BACKOFF.delay(max(tries, 1))
    due_at = database_clock.now() + timedelta(seconds=seconds)
    log.warning("mirror run postponed", run=claim.job.pk, attempt=tries, reason=text)
    claim.release(due_at, error=text, tries=tries, waits_for=f"another attempt after: {text}")


def _reason(error: Exception) -> str:
    """Return the error's text, with what to do about a full or unwritable database."""
    reason = str(error).strip()
    remedy = remedy_of(reason) if isinstance(error, DatabaseError) else ""
    return f"{reason.rstrip('.')}. {remedy}." if remedy else reason
