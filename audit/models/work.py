"""Tracked background jobs: exports and prunings of the audit log."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Work(models.Model):
    """An export or a pruning: who started it, its progress, and how it ended.

    `audit.jobs.tracked` writes it. Redeliveries and reconciliations have models of their own.
    """

    class Kind(models.TextChoices):
        EXPORT = "export", "Export"
        PRUNE = "prune", "Pruning"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        BROKEN_OFF = "broken_off", "Interrupted"
        FAILED = "failed", "Failed"
        LOST = "lost", "Lost: process stopped"

    kind = models.CharField(max_length=10, choices=Kind)
    requested_by = models.CharField(max_length=150, blank=True, help_text="Empty: scheduled.")
    through = models.CharField(max_length=10, blank=True)
    criteria = models.JSONField(default=dict, blank=True, help_text="Parameters of the request.")
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    done = models.PositiveBigIntegerField(default=0, help_text="Rows processed.")
    total = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Rows to process, if known."
    )
    is_estimate = models.BooleanField(default=False, help_text="Whether the total is an estimate.")
    outcome = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="Time of the last progress report.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "export or pruning"
        verbose_name_plural = "exports and pruning"
        indexes = [
            # tracked.mark_lost, and what the console shows as running.
            models.Index(fields=["seen_at"], condition=Q(state="running"), name="work_running"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def who(self) -> str:
        if not self.requested_by:
            return "the schedule"
        return f"command: {self.requested_by}" if self.through == "command" else self.requested_by

    @property
    def is_over(self) -> bool:
        return self.state != self.State.RUNNING
