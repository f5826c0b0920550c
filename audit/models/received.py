"""The throughput of listeners by minute, and quarantined messages."""

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


class Quarantined(models.Model):
    """A message that could not be decoded or stored, in its original form."""

    listener = models.ForeignKey(Listener, models.PROTECT, related_name="quarantined")
    channel = models.CharField(max_length=255)
    replay_id = models.CharField("replay ID", max_length=255, blank=True)
    raw = models.TextField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the message.")
    error = models.TextField()
    # Else an event. The events of such an answer are asked for again.
    is_answer = models.BooleanField("whole response", default=False)
    received_at = models.DateTimeField()
    ingested_at = models.DateTimeField(
        null=True, blank=True, help_text="When a retry read and recorded the message."
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "quarantined message"
        verbose_name_plural = "quarantine"
        permissions = [("read_quarantined_again", "Can retry quarantined messages")]
        constraints = [
            # A replayed message is kept once.
            models.UniqueConstraint(fields=["listener", "digest"], name="quarantined_once"),
        ]

    def __str__(self) -> str:
        return f"Quarantined message {self.pk}: {self.error}"
