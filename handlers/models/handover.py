"""The handover: deliveries committed as queued whose messages may not be published yet."""

from __future__ import annotations

from django.db import models


class Handover(models.Model):
    """A batch's deliveries that were committed as queued: their id range and `queued_at`.

    The process that publishes the deliveries deletes the row. A row that remains belongs to
    deliveries that were not published; the relay makes them ready again.
    """

    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    queued_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.first_id} to {self.last_id}"
