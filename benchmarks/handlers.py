"""The handlers that are measured; loaded by CDC_HANDLER_MODULES."""

from __future__ import annotations

from celery import shared_task

from handlers import EventData, cdc_handler


@cdc_handler(name="bench.empty")
def empty(event: EventData) -> None:
    """Nothing: what is left is the product's own work."""


@shared_task(name="benchmarks.empty", ignore_result=True)
def empty_task(*, delivery_id: int) -> None:
    """What a bare Celery worker is measured with."""
