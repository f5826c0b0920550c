"""The list of Celery workers, with their state and queues."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from cdcproject.version import __version__
from console.admin.read_only import ReadOnlyAdmin
from console.labels import label, moment_column
from handlers.models import Worker
from handlers.models.worker import KEPT


class WorkerAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "state",
        "queue_names",
        "version_shown",
        "concurrency",
        "pid",
        "started",
        "seen",
    )
    list_display_links = None
    empty_title = "No workers online"
    empty_text = "Start one with: celery -A cdcproject worker"
    started = moment_column("started_at", "started")
    seen = moment_column("seen_at", "last seen")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return Worker.objects.with_life()

    @admin.display(description="state")
    def state(self, worker: Any) -> SafeString:
        if worker.is_live:
            return label("Online", "success")
        minutes = KEPT // timedelta(minutes=1)
        title = f"The worker stopped sending heartbeats. It is removed after {minutes} minutes."
        return label("Offline", "warning", title=title)

    @admin.display(description="queues")
    def queue_names(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="version")
    def version_shown(self, worker: Worker) -> SafeString | str:
        if worker.version == __version__:
            return worker.version
        title = f"This web server runs version {__version__}."
        return label(worker.version, "warning", title=title)
