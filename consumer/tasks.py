"""Periodic upkeep, for `celery -A cdcproject beat`."""

import time

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from consumer import completion, gaps, prune, reconcile, relay
from consumer.reconciliation import running
from consumer.watch.looking import look


@shared_task(name="consumer.relay")
def run_relay() -> None:
    """Publish what was left behind, and repair."""
    now = timezone.now()
    relay.publish_due(now)
    relay.sweep(now)


@shared_task(name=gaps.TASK)
def complete_gaps(*, listener_id: int) -> None:
    """Read the records of a listener's gap events, and complete them."""
    completion.complete(listener_id)


@shared_task(name="consumer.watch")
def run_watch() -> None:
    """Open and close incidents, tell of them, and ask the orgs for their limits."""
    look()


@shared_task(name="consumer.prune")
def run_prune() -> None:
    """Retention: what is older than CDC_RETENTION_DAYS, for half the time that a task may last; the
    rest in another."""
    if settings.CDC_RETENTION_DAYS is None:  # unset since this was scheduled
        return
    end = time.monotonic() + settings.CDC_RUN_SECONDS / 2
    pruned = prune.prune(
        settings.CDC_RETENTION_DAYS, timezone.now(), is_over=lambda: time.monotonic() > end
    )
    if not pruned.is_finished:
        run_prune.delay()


@shared_task(name=reconcile.TASK)
def run_reconciliation(*, reconciliation_id: int) -> None:
    """Compare an org with the audit log, for a slice of time."""
    running.run(reconciliation_id)
