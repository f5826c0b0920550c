"""Which processes are there to run listeners."""

from __future__ import annotations

from django.db import models


class ListenerProcess(models.Model):
    """A running `run_cdc_listener`, as long as it says so again and again."""

    holder = models.CharField(max_length=200, primary_key=True)
    names = models.JSONField(
        default=list, help_text="The listeners that it was asked to run; empty: all of them."
    )
    started_at = models.DateTimeField()
    seen_until = models.DateTimeField(help_text="On the database's clock, like a lease's end.")

    def __str__(self) -> str:
        return self.holder
