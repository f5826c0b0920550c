"""The Celery application. Workers are plain `celery -A cdcproject worker`."""

import gc
import os
import time
from typing import Any

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
from cdcproject.process.metrics import worker_metrics
from cdcproject.process.opentelemetry import tracing
from cdcproject.process.publishers import Publisher

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")
# A worker would run Django's system checks, which import the console and the API, and drop what
# they find.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")


def count_dropped_item(reason: str) -> None:
    """Count an item of a Redis queue that no worker can decode."""
    from handlers.outbox import metrics

    metrics.unreadable(reason, "")


redis_transport.install(count_dropped_item)

app = Publisher("cdcproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery would open a database connection for each task; with this, many tasks share one.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000
app.autodiscover_tasks()
# As strings: they are imported in a worker, once the apps are ready.
app.steps["consumer"].update(
    {"handlers.worker.worker_registry:Presence", "cdcproject.process.liveness_file:Heartbeat"}
)


@setup_logging.connect
def keep_djangos_logging(**_: Any) -> None:
    """Do nothing: a connected receiver keeps Celery from replacing the logging of the settings."""


#: A database connection that was idle for so many seconds is checked before its next use.
CHECK_SECONDS = 5.0
_used_at = {"last": 0.0}


@task_prerun.connect
def keep_good_connections(**_: Any) -> None:
    """Close expired and broken database connections, as Django does before a request.

    Not before each task, of which there are many per second.
    """
    from django.db import close_old_connections, connection

    idle = time.monotonic() - _used_at["last"]
    if connection.errors_occurred or idle >= CHECK_SECONDS:
        close_old_connections()
    _used_at["last"] = time.monotonic()


# A receiver each: an error in one of them is logged and keeps no other from running.
@worker_init.connect
def restrict_control_commands(**_: Any) -> None:
    from cdcproject.process.control_panel import restrict

    restrict()


@worker_init.connect
def serve_metrics(**_: Any) -> None:
    worker_metrics.begin()


@worker_init.connect
def load_tracing(**_: Any) -> None:
    tracing.load()


@worker_init.connect
def limit_database_sessions(**_: Any) -> None:
    """Let a transaction idle as long as a run lasts: a handler's may wait for other services."""
    from django.conf import settings

    from cdcproject.conf.db_timeouts import limit_sessions

    limit_sessions(idle_in_transaction=settings.CDC_RUN_SECONDS + 30)


@worker_init.connect
@beat_init.connect
def start_embedded_broker(**_: Any) -> None:
    from cdcproject.process.embedded_broker import ensure_embedded_broker

    ensure_embedded_broker()


@worker_process_init.connect
def leave_the_metrics_port(**_: Any) -> None:
    worker_metrics.leave()


@worker_shutdown.connect
def end_metrics(**_: Any) -> None:
    worker_metrics.end()


@worker_process_init.connect
def begin_tracing(**_: Any) -> None:
    """Start tracing after the fork, since a thread sends the spans."""
    from handlers.tracing import record_with

    tracing.begin("worker", record_with)


@worker_ready.connect
def begin_tracing_without_a_pool(sender: Any, **_: Any) -> None:
    """Start tracing in a worker whose main process runs the tasks."""
    from celery.concurrency.prefork import TaskPool

    if not isinstance(sender.pool, TaskPool):
        begin_tracing()


@worker_process_shutdown.connect
@worker_shutdown.connect
def end_tracing(**_: Any) -> None:
    tracing.end()


@worker_process_init.connect
@worker_ready.connect
def keep_what_is_loaded(**_: Any) -> None:
    """Exclude loaded modules from garbage collection, in each process that runs tasks."""
    gc.freeze()
