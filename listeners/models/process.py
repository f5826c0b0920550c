"""Which processes are there to run listeners."""

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
        """Say that the process is there."""
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
        """Those that are there; what others left behind is deleted."""
        found = list(self.annotate(gone=models.Q(seen_until__lt=Now())))
        if any(process.gone for process in found):
            self.filter(seen_until__lt=Now()).delete()
        return [process for process in found if not process.gone]

    def leave(self, holder: str) -> None:
        self.filter(holder=holder).delete()


class ListenerProcess(models.Model):
    """A running `run_cdc_listener`, as long as it says so again and again."""

    holder = models.CharField(max_length=200, primary_key=True)
    names = models.JSONField(
        default=list, help_text="The listeners that it was asked to run; empty: all of them."
    )
    passes_over = models.JSONField(
        default=list, help_text="The ids of those that it cannot run as they are configured."
    )
    started_at = models.DateTimeField()
    seen_until = models.DateTimeField(help_text="On the database's clock, like a lease's end.")

    objects = ListenerProcessQuerySet.as_manager()

    def __str__(self) -> str:
        return self.holder
