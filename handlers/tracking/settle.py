"""Settles the attempts of tracked deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from audit.db.prepared import Param, Prepared
from audit.db.retry import retry
from handlers import tracing
from handlers.models import Delivery, Destination
from handlers.sdk.outcomes import Failed, Outcome, Succeeded
from handlers.superseded.masking import masked_reports
from handlers.tracking.claims import claims_of
from handlers.tracking.errors import errors_of
from handlers.tracking.events import details
from handlers.tracking.reports import Report
from handlers.tracking.tokens import Reported
from handlers.types import Claim, Ended, Message
from handlers.worker import metrics as attempt_metrics
from handlers.worker.settle import settle_runs
from listeners.clock import database_clock

_REPORTED = Prepared(lambda: Delivery.objects.awaiting_report(Param("ids")).order_by("id"))


def settle_reports(
    reports: Sequence[Report], destination: Destination | None
) -> tuple[int, list[int]]:
    """Settle the attempts that a destination's reports end; return how many did, and the deliveries
    that can start now.

    A report of an attempt that has ended already, or of a delivery that is gone, changes nothing.
    Database errors are retried. Never inside a transaction.
    """
    by_attempt: dict[tuple[int, int], Report] = {}
    for report in reports:
        by_attempt.setdefault((report.token.delivery_id, report.token.attempt), report)
    ids = [delivery_id for delivery_id, _ in by_attempt]
    claims = retry(lambda: claims_of(_REPORTED.objects(ids=ids)), "load reported deliveries")
    places = [(claim, (claim.delivery.pk, claim.attempt)) for claim in claims]
    reported = [(claim, by_attempt[place]) for claim, place in places if place in by_attempt]
    failed = [claim for claim, report in reported if report.token.outcome is Reported.FAILED]
    errors = errors_of([task_id_of(claim) for claim in failed], destination)
    now = database_clock.now()
    ended = []
    for claim, report in reported:
        event = details.pop(claim.delivery.destination_id, claim.delivery.pk, claim.attempt)
        worker = event.worker if event else report.worker
        if event and event.error:
            errors.setdefault(task_id_of(claim), event.error)
        ended.append(Ended(claim, _outcome(claim, report, errors), claim.started_at, now, worker))
    return settle(_masked(ended))


def _masked(ended: Sequence[Ended]) -> list[Ended]:
    """Return the attempts without sensitive values that later changes of the records have."""
    failures = {
        run.claim.delivery.pk: run.outcome for run in ended if isinstance(run.outcome, Failed)
    }
    deliveries = [run.claim.delivery for run in ended]
    found = retry(lambda: masked_reports(failures, deliveries), "look for later changes")
    return [replace(run, outcome=found.get(run.claim.delivery.pk, run.outcome)) for run in ended]


def settle(ended: Sequence[Ended]) -> tuple[int, list[int]]:
    """Settle attempts; return how many were not settled already, and the deliveries that can start
    now. Never inside a transaction."""
    following, lost = settle_runs(ended)
    settled = [run for run in ended if run not in lost]
    attempt_metrics.settled(settled)
    if tracing.spans is not None:
        for run in settled:
            tracing.spans.lost(run)
    return len(settled), [follower.id for follower in following]


def _outcome(claim: Claim, report: Report, errors: Mapping[str, Failed]) -> Outcome:
    if report.token.outcome is Reported.SUCCEEDED:
        return Succeeded()
    task_id = task_id_of(claim)
    if known := errors.get(task_id):
        return known
    worker = f"worker {report.worker}" if report.worker else "its worker"
    return Failed(f"The task failed; see the log of {worker} for task id {task_id}.")


def task_id_of(claim: Claim) -> str:
    """Return the id of the task that was sent for a claim."""
    return Message([claim.delivery.pk], claim.attempt - 1, "", "", {}).task_id
