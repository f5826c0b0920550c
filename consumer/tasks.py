"""Periodic upkeep, for `celery -A cdcproject beat`."""

from celery import shared_task
from django.utils import timezone

from consumer import relay


@shared_task(name="consumer.relay")
def run_relay() -> None:
    """Publish what was left behind, and repair."""
    now = timezone.now()
    relay.publish_due(now)
    relay.sweep(now)
