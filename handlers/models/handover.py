"""What was committed as queued and may not be in the broker yet."""

from __future__ import annotations

from django.db import models


class Handover(models.Model):
    """The deliveries of a batch that were committed as queued, by the range of their ids and by
    that moment. Whoever published them deletes it; one that stays was left behind."""

    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    queued_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.first_id} to {self.last_id}"
