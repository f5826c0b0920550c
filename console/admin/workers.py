"""Workers in the console: who is there, and what they hear."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from cdcproject.version import __version__
from console.admin.read_only import WindowAdmin
from console.labels import label, moment
from handlers.models import Worker
from handlers.models.worker import KEPT


class WorkerAdmin(WindowAdmin):
    list_display = (
        "name",
        "state",
        "hears",
        "version_said",
        "concurrency",
        "pid",
        "started",
        "seen",
    )
    list_display_links = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return Worker.objects.with_life()

    @admin.display(description="state")
    def state(self, worker: Any) -> SafeString:
        if worker.is_live:
            return label("there", "success")
        title = f"It went without a word. After {KEPT // timedelta(minutes=1)} minutes it is "
        return label("gone", "warning", title=f"{title}not shown any more.")

    @admin.display(description="queues")
    def hears(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="version")
    def version_said(self, worker: Worker) -> SafeString | str:
        if worker.version == __version__:
            return worker.version
        title = f"This web server is of version {__version__}."
        return label(worker.version, "warning", title=title)

    @admin.display(description="started")
    def started(self, worker: Worker) -> SafeString | str:
        return moment(worker.started_at)

    @admin.display(description="last seen")
    def seen(self, worker: Worker) -> SafeString | str:
        return moment(worker.seen_at)
