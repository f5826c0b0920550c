"""The model of an org's daily event limit and its remaining part."""

from __future__ import annotations

from django.db import models

from listeners.models.connection import Connection


class OrgUsage(models.Model):
    """The org's limit `DailyDeliveredPlatformEvents`: events to all subscribers within 24 hours."""

    connection = models.OneToOneField(
        Connection, models.CASCADE, related_name="usage", primary_key=True
    )
    maximum = models.BigIntegerField(null=True)
    remaining = models.BigIntegerField(null=True)
    read_at = models.DateTimeField(null=True)
    # Why the last attempt to read the limit failed; empty if it succeeded.
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.connection}: {self.remaining} of {self.maximum}"
