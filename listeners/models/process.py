"""The model of a running listener process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models.functions import Now

from listeners.leases import PRESENCE


class ListenerProcessQuerySet(models.QuerySet[Any]):
    def beat(
        self, holder: str, names: Sequence[str], passes_over: Iterable[int], started_at: datetime
    ) -> None:
        """Record a heartbeat of the process."""
        process = self.model(
            holder=holder,
            names=list(names),
            passes_over=sorted(passes_over),
            started_at=started_at,
            seen_until=Now() + PRESENCE,
        )
        self.bulk_create(
            [process],
            update_conflicts=True,
            unique_fields=["holder"],
            update_fields=["names", "passes_over", "seen_until"],
        )

    def present(self) -> list[ListenerProcess]:
        """Return the running processes, and delete the rows of those without a recent heartbeat."""
        found = list(self.annotate(gone=models.Q(seen_until__lt=Now())))
        if any(process.gone for process in found):
            self.filter(seen_until__lt=Now()).delete()
        return [process for process in found if not process.gone]

    def leave(self, holder: str) -> None:
        """Remove a process that is shutting down."""
        self.filter(holder=holder).delete()


class ListenerProcess(models.Model):
    """A running `run_cdc_listener` process, as long as its heartbeats are recent."""

    holder = models.CharField(max_length=200, primary_key=True)
    names = models.JSONField(
        default=list, help_text="The listeners that it was started for; empty: all listeners."
    )
    passes_over = models.JSONField(
        default=list, help_text="Ids of listeners that it cannot run with their configuration."
    )
    started_at = models.DateTimeField()
    seen_until = models.DateTimeField(
        help_text="When the last heartbeat expires, on the database's clock."
    )

    objects = ListenerProcessQuerySet.as_manager()

    def __str__(self) -> str:
        return self.holder
