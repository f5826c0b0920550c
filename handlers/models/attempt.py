"""The attempt: one ended run of a delivery."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handlers.models.redelivery import Redelivery


class DeliveryAttempt(models.Model):
    """One attempt of a delivery, inserted when its run ends.

    Read `Delivery.all_attempts`: a first attempt that succeeded, as most do, has no row.
    """

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded", "Succeeded"
        SKIPPED = "skipped", "Skipped"
        FAILED = "failed", "Failed"
        RETRY = "retry", "Retry requested"
        LOST = "lost", "Worker lost"
        UNKNOWN = "unknown", "Outcome unknown"

    # The unique constraint starts with this column, so it needs no index.
    delivery = models.ForeignKey(
        "handlers.Delivery", models.CASCADE, related_name="attempt_log", db_index=False
    )
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome)
    # The redelivery that requested this attempt, if any.
    redelivery = models.ForeignKey(
        Redelivery,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="attempts",
        db_index=False,
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    worker = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        ordering = ["delivery", "number"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_once"),
        ]
        indexes = [
            # Deleting a redelivery sets its attempts' reference to null.
            models.Index(
                fields=["redelivery"],
                condition=Q(redelivery__isnull=False),
                name="attempt_redelivered",
            ),
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.get_outcome_display()}"
