"""A worker of the version before messages of many deliveries, as a module of handlers: its tasks
take one `delivery_id`, and its presence says neither a version nor a message format.

The statement is what that version sent, kept as it was.
"""

import json
from unittest.mock import patch

from celery import current_app
from celery.signals import worker_init
from django.db import connection

from handlers import registry
from handlers.models.worker import WorkerQuerySet

BEAT = """
INSERT INTO handlers_worker (name, pid, queues, concurrency, started_at, seen_at)
VALUES (%s, %s, %s, %s, %s, CURRENT_TIMESTAMP)
ON CONFLICT (name, pid) DO UPDATE SET queues = EXCLUDED.queues,
    concurrency = EXCLUDED.concurrency, started_at = EXCLUDED.started_at, seen_at = EXCLUDED.seen_at
"""


def beat(_, name, pid, *, queues, concurrency, started_at, **__) -> None:
    moment = connection.ops.adapt_datetimefield_value(started_at)
    with connection.cursor() as cursor:
        cursor.execute(BEAT, [name, pid, json.dumps(list(queues)), concurrency, moment])


def _run(*, delivery_id: int) -> str:
    from handlers.runner import run_delivery

    return run_delivery(delivery_id)


@worker_init.connect
def be_of_before(**_) -> None:
    patch.object(WorkerQuerySet, "beat", beat).start()
    for name in registry.names():
        current_app.tasks[name].run = _run
