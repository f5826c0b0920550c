"""Which workers are there, and which queues they hear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from cdcproject.version import __version__

#: A worker that has not said for this long that it is there has gone. It says so four times within
#: it: a database that fails over makes nobody look dead.
LIVE = timedelta(seconds=40)
#: One that went without a word is shown this long.
KEPT = timedelta(hours=1)
_SAID = ("queues", "concurrency", "started_at", "seen_at", "version")


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
        """Say that the worker is there; it has this process's version."""
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
            update_fields=_SAID,
        )

    def tidy(self, name: str) -> None:
        """Delete what others left behind long ago, and what a worker of that name did."""
        predecessor = Q(name=name, seen_at__lt=Now() - LIVE)
        self.filter(predecessor | Q(seen_at__lt=Now() - KEPT)).delete()

    def leave(self, name: str, pid: int) -> None:
        self.filter(name=name, pid=pid).delete()

    def with_life(self) -> WorkerQuerySet:
        """With `is_live`: whether it was seen not long ago, on the database's clock."""
        annotated: WorkerQuerySet = self.annotate(is_live=Q(seen_at__gte=Now() - LIVE))
        return annotated

    def live(self) -> WorkerQuerySet:
        """Those alone that were seen not long ago."""
        return self.filter(seen_at__gte=Now() - LIVE)


class Worker(models.Model):
    """A Celery worker, as long as it hears its queues and says so again and again."""

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
            # Workers of one machine that nobody named share a name.
            models.UniqueConstraint(fields=["name", "pid"], name="worker_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"
