"""The registry of running Celery workers and the queues that they consume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from cdcproject.version import __version__

#: A worker without a heartbeat for this long counts as offline. It sends four heartbeats in that
#: time, so that a database failover does not make workers look offline.
LIVE = timedelta(seconds=40)
#: How long the console shows a worker that stopped without removing its row.
KEPT = timedelta(hours=1)
_HEARTBEAT_FIELDS = ("queues", "concurrency", "started_at", "seen_at", "version")


class WorkerQuerySet(models.QuerySet[Any]):
    def beat(
        self,
        name: str,
        pid: int,
        *,
        queues: Sequence[str],
        concurrency: int | None,
        started_at: datetime,
    ) -> None:
        """Write a heartbeat of the worker, with the version of this process."""
        worker = self.model(
            name=name,
            pid=pid,
            queues=list(queues),
            concurrency=concurrency,
            started_at=started_at,
            seen_at=Now(),
            version=__version__,
        )
        self.bulk_create(
            [worker],
            update_conflicts=True,
            unique_fields=["name", "pid"],
            update_fields=_HEARTBEAT_FIELDS,
        )

    def tidy(self, name: str) -> None:
        """Delete the rows of workers gone for `KEPT`, and of offline workers with this name."""
        predecessor = Q(name=name, seen_at__lt=Now() - LIVE)
        self.filter(predecessor | Q(seen_at__lt=Now() - KEPT)).delete()

    def leave(self, name: str, pid: int) -> None:
        self.filter(name=name, pid=pid).delete()

    def with_life(self) -> WorkerQuerySet:
        """Annotate `is_live`: whether the last heartbeat is recent, on the database's clock."""
        annotated: WorkerQuerySet = self.annotate(is_live=Q(seen_at__gte=Now() - LIVE))
        return annotated


class Worker(models.Model):
    """A Celery worker that consumes its queues and sends heartbeats."""

    name = models.CharField(max_length=255)
    pid = models.PositiveIntegerField("process")
    queues = models.JSONField(default=list)
    concurrency = models.PositiveIntegerField(null=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="Time of the last heartbeat, by the database clock.")
    version = models.CharField(max_length=50)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pid"]
        constraints = [
            # Workers on one machine share a name unless they are named explicitly.
            models.UniqueConstraint(fields=["name", "pid"], name="worker_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"
