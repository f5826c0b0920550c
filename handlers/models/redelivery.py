"""Requests to send recorded changes to their handlers again, and their progress."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Redelivery(models.Model):
    """A request to send recorded changes to their handlers again, and its progress.

    waiting → running → done, or failed if it makes no progress, or cancelled by an operator. The
    deliveries still to be processed are its `RedeliveryTarget` rows.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    UNENDED = (State.WAITING, State.RUNNING)

    requested_by = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    criteria = models.JSONField(default=dict, blank=True, help_text="Parameters of the request.")
    requested_at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0, help_text="Redelivered deliveries.")
    # Of entries that go to mappings which never had them: to those with this handler alone.
    handler = models.CharField(max_length=255, blank=True)
    as_recorded = models.BooleanField(
        default=False,
        help_text="Whether superseded changes are sent as they were recorded.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    total = models.PositiveBigIntegerField(default=0, help_text="Requested deliveries.")
    done = models.PositiveBigIntegerField(
        default=0, help_text="Processed deliveries, redelivered or not."
    )
    # Handler, state before, verdict, reason and number: `handlers.redelivery.request` reads them.
    counts = models.JSONField(default=list, blank=True)
    # The number of consecutive claims without progress.
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why the redelivery makes no progress.")
    due_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "redeliveries"
        indexes = [
            # start_due_jobs, and the console's list of running redeliveries.
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["waiting", "running"]),
                name="redelivery_due",
            ),
        ]

    def __str__(self) -> str:
        return f"Redelivery {self.pk} by {self.requested_by}"

    @property
    def is_over(self) -> bool:
        return self.state not in self.UNENDED


class RedeliveryTarget(models.Model):
    """A delivery that a redelivery has still to process, or an entry for mappings that lack it.

    The rows are inserted when the request is confirmed, and each is deleted in the transaction that
    processes it, so a resumed redelivery finds the rest. They hold plain ids instead of foreign
    keys, because retention may delete the referenced rows.
    """

    pk = models.CompositePrimaryKey("redelivery_id", "is_entry", "row_id")
    # Millions of rows are inserted at once; checking each reference would take ten times as long.
    redelivery = models.ForeignKey(
        Redelivery, models.CASCADE, related_name="targets", db_index=False, db_constraint=False
    )
    is_entry = models.BooleanField()
    row_id = models.BigIntegerField()
    state = models.CharField(
        max_length=10, blank=True, help_text="State when the redelivery was requested."
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{'entry' if self.is_entry else 'delivery'} {self.row_id}"
