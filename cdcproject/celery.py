"""The Celery application. Workers are plain `celery -A cdcproject worker`."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")

app = Celery("cdcproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# By name: it is imported in a worker, when the apps are ready.
app.steps["consumer"].add("handlers.presence:Presence")


@setup_logging.connect
def keep_djangos_logging(**_: Any) -> None:
    """Being connected is the point: Celery then leaves the logging of `settings.LOGGING` alone."""


@worker_init.connect
def limit_database_sessions(**_: Any) -> None:
    """A transaction may last as long as a run: a handler's own may wait for other services."""
    from django.conf import settings

    from cdcproject.database import limit_sessions

    limit_sessions(idle_in_transaction=settings.CDC_RUN_SECONDS + 30)


@worker_init.connect
@beat_init.connect
def start_embedded_broker(**_: Any) -> None:
    from cdcproject.broker import ensure_embedded_broker

    ensure_embedded_broker()
