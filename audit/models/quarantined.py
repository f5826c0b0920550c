"""The quarantine."""

from __future__ import annotations

from django.db import models

from listeners.models import Listener


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
