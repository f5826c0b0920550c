"""What an org allows a day, and what is left of it, as it last said."""

from __future__ import annotations

from django.db import models

from listeners.models.connection import Connection


class OrgUsage(models.Model):
    """The org's `DailyDeliveredPlatformEvents`: events of all its subscribers, over 24 h."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, related_name="usage", primary_key=True
    )
    maximum = models.BigIntegerField(null=True)
    remaining = models.BigIntegerField(null=True)
    read_at = models.DateTimeField(null=True)
    # Why the last try told nothing; empty when it did.
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.connection}: {self.remaining} of {self.maximum}"
