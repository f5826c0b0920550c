"""The Celery application. Workers are plain `celery -A cdcproject worker`."""

import gc
import os
import time
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    setup_logging,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)

from cdcproject.process import redis_transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")


def count_dropped_item(reason: str) -> None:
    """An item of a queue in Redis that no worker can read."""
    from handlers.outbox import metrics

    metrics.unreadable(reason, "")


redis_transport.install(count_dropped_item)

app = Celery("cdcproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
# So many tasks share a connection to the database; Celery alone would make one for each of them.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000
app.autodiscover_tasks()
# By name: they are imported in a worker, when the apps are ready.
app.steps["consumer"].update(
    {"handlers.worker.worker_registry:Presence", "cdcproject.process.liveness_file:Heartbeat"}
)


@setup_logging.connect
def keep_djangos_logging(**_: Any) -> None:
    """Being connected is the point: Celery then leaves the logging of `settings.LOGGING` alone."""


#: A connection to the database that was not used for so long is checked before it is.
CHECK_SECONDS = 5.0
_used_at = {"last": 0.0}


@task_prerun.connect
def keep_good_connections(**_: Any) -> None:
    """As before a request, though not before each of many tasks a second: what is too old or broke
    is made anew, and checked when it is used."""
    from django.db import close_old_connections, connection

    idle = time.monotonic() - _used_at["last"]
    if connection.errors_occurred or idle >= CHECK_SECONDS:
        close_old_connections()
    _used_at["last"] = time.monotonic()


@worker_init.connect
def restrict_control_commands(**_: Any) -> None:
    from cdcproject.process.control_panel import restrict

    restrict()


@worker_init.connect
def limit_database_sessions(**_: Any) -> None:
    """A transaction may last as long as a run: a handler's own may wait for other services."""
    from django.conf import settings

    from cdcproject.conf.db_timeouts import limit_sessions

    limit_sessions(idle_in_transaction=settings.CDC_RUN_SECONDS + 30)


@worker_init.connect
@beat_init.connect
def start_embedded_broker(**_: Any) -> None:
    from cdcproject.process.embedded_broker import ensure_embedded_broker

    ensure_embedded_broker()


@worker_init.connect
def serve_metrics(**_: Any) -> None:
    from cdcproject.process.worker_metrics import worker_metrics

    worker_metrics.begin()


@worker_process_init.connect
def leave_the_metrics_port(**_: Any) -> None:
    from cdcproject.process.worker_metrics import worker_metrics

    worker_metrics.leave()


@worker_shutdown.connect
def end_metrics(**_: Any) -> None:
    from cdcproject.process.worker_metrics import worker_metrics

    worker_metrics.end()


@worker_init.connect
def load_tracing(**_: Any) -> None:
    from cdcproject.process.opentelemetry import tracing

    tracing.load()


@worker_process_init.connect
def begin_tracing(**_: Any) -> None:
    """After the fork: what sends spans is a thread."""
    from cdcproject.process.opentelemetry import tracing
    from handlers.tracing import record_with

    tracing.begin("worker", record_with)


@worker_ready.connect
def begin_tracing_without_a_pool(sender: Any, **_: Any) -> None:
    """Where threads of the worker's own process run the tasks."""
    from celery.concurrency.prefork import TaskPool

    if not isinstance(sender.pool, TaskPool):
        begin_tracing()


@worker_process_shutdown.connect
@worker_shutdown.connect
def end_tracing(**_: Any) -> None:
    from cdcproject.process.opentelemetry import tracing

    tracing.end()


@worker_process_init.connect
@worker_ready.connect
def keep_what_is_loaded(**_: Any) -> None:
    """It stays: each look for garbage would go through all of it. In the process that runs tasks,
    which is the worker's own where it has no pool of them."""
    gc.freeze()
