"""The throughput of listeners by minute."""

from __future__ import annotations

from django.db import models

from listeners.models import Listener


class Throughput(models.Model):
    """The events that a listener received in one minute, counting repeated ones as the org does."""

    listener = models.ForeignKey(Listener, models.CASCADE, related_name="throughput")
    minute = models.DateTimeField()
    events = models.PositiveBigIntegerField(default=0, help_text="Events received from Salesforce.")
    entries = models.PositiveBigIntegerField(default=0, help_text="New audit log entries.")

    class Meta:
        ordering = ["-minute"]
        constraints = [
            models.UniqueConstraint(fields=["listener", "minute"], name="throughput_once"),
        ]
        indexes = [models.Index(fields=["minute"], name="throughput_minute")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}: {self.events}"
