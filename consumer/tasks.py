"""The Celery tasks of this app: periodic upkeep (`celery -A cdcproject beat`) and long jobs."""

import time

from celery import shared_task
from django.conf import settings

from consumer import relay, retention
from consumer.gaps import complete, plan
from consumer.monitoring.checks import run_round
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation import schedule
from handlers.redelivery import job
from listeners.clock import database_clock
from listeners.models import ListenerProcess


@shared_task(name="consumer.relay")
def run_relay() -> None:
    """Publish deliveries that are due, and repair what crashes left behind."""
    now = database_clock.now()
    # Brokers of other projects may be slow, and a listener process has threads for them.
    relay.run_due(now, leaves_external=bool(ListenerProcess.objects.present()))
    relay.sweep(now)


@shared_task(name=plan.TASK)
def complete_gaps(*, listener_id: int) -> None:
    """Read the records of a listener's gap events, and record the changes with their data."""
    complete.complete(listener_id)


@shared_task(name="consumer.watch")
def run_watch() -> None:
    """Open and close incidents, send notifications, and read the orgs' API limits."""
    run_round()


@shared_task(name="consumer.prune")
def run_prune(*, work_id: int | None = None) -> None:
    """Delete entries older than CDC_RETENTION_DAYS.

    Runs for half the time that a task may last, then continues the same job in another task.
    """
    if settings.CDC_RETENTION_DAYS is None:  # unset since this task was scheduled
        return
    end = time.monotonic() + settings.CDC_RUN_SECONDS / 2
    left = retention.prune_slice(
        settings.CDC_RETENTION_DAYS, work_id, is_over=lambda: time.monotonic() > end
    )
    if left is not None:
        run_prune.delay(work_id=left)


@shared_task(name=job.TASK)
def run_redelivery(*, redelivery_id: int) -> None:
    """Run a redelivery for a slice of time."""
    job.run(redelivery_id)


@shared_task(name=schedule.TASK)
def run_reconciliation(*, reconciliation_id: int) -> None:
    """Run a reconciliation for a slice of time."""
    reconciliation_job.run(reconciliation_id)
