"""Periodic upkeep, for `celery -A cdcproject beat`."""

import time

from celery import shared_task
from django.conf import settings

from consumer import relay
from consumer.gaps import complete, plan
from consumer.monitoring.run import look
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation import schedule
from consumer.retention import job as retention_job
from handlers.redelivery import job
from listeners.clock import database_clock


@shared_task(name="consumer.relay")
def run_relay() -> None:
    """Publish what was left behind, and repair."""
    now = database_clock.now()
    relay.publish_due(now)
    relay.sweep(now)


@shared_task(name=plan.TASK)
def complete_gaps(*, listener_id: int) -> None:
    """Read the records of a listener's gap events, and complete them."""
    complete.complete(listener_id)


@shared_task(name="consumer.watch")
def run_watch() -> None:
    """Open and close incidents, tell of them, and ask the orgs for their limits."""
    look()


@shared_task(name="consumer.prune")
def run_prune(*, work_id: int | None = None) -> None:
    """Retention: what is older than CDC_RETENTION_DAYS, for half the time that a task may last; the
    rest in another, which goes on with the same work."""
    if settings.CDC_RETENTION_DAYS is None:  # unset since this was scheduled
        return
    end = time.monotonic() + settings.CDC_RUN_SECONDS / 2
    is_finished, work_id = retention_job.scheduled(
        settings.CDC_RETENTION_DAYS, work_id, is_over=lambda: time.monotonic() > end
    )
    if not is_finished:
        run_prune.delay(work_id=work_id)


@shared_task(name=job.TASK)
def run_redelivery(*, redelivery_id: int) -> None:
    """Send recorded changes to their handlers again, for a slice of time."""
    job.run(redelivery_id)


@shared_task(name=schedule.TASK)
def run_reconciliation(*, reconciliation_id: int) -> None:
    """Compare an org with the audit log, for a slice of time."""
    reconciliation_job.run(reconciliation_id)
