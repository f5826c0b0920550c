"""The Celery project whose empty task is measured; it knows nothing of the product."""

from __future__ import annotations

import os

from celery import Celery

QUEUE = "shop"
TASK = "shop.empty"
#: The queue to which the workers report the end of each task.
REPORTS = "cdc.reports"

app = Celery("shop", set_as_current=False)
for name in ("broker_url", "broker_read_url", "broker_write_url"):
    app.conf[name] = os.environ.get("SHOP_BROKER")
app.conf.task_default_queue = QUEUE
app.conf.broker_connection_retry_on_startup = True


def _empty(event: dict[str, object]) -> None:
    """Do nothing: what is left is Celery's own work."""


app.task(_empty, name=TASK)
