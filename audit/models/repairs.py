"""Records to be read after gap events, and reconciliations."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from audit.models.entry import AuditLogEntry
from audit.models.incident import Incident
from listeners.models import Listener


class DirtyRecord(models.Model):
    """A gap entry whose record is still to be read over REST."""

    entry = models.OneToOneField(
        AuditLogEntry, models.CASCADE, primary_key=True, related_name="dirty"
    )
    listener = models.ForeignKey(Listener, models.CASCADE, related_name="dirty_records")
    entity_name = models.CharField(max_length=255)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField()
    # The claim of the worker that was sent a message, or that has begun to read the record.
    claimed_until = models.DateTimeField(null=True, blank=True)
    is_begun = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["listener", "entity_name", "due_at"], name="dirty_due")]

    def __str__(self) -> str:
        return f"{self.entity_name}: entry {self.entry_id}"


class Reconciliation(models.Model):
    """A comparison of an org's records with the audit log: a window of time, or a whole entity.

    Missing changes are recorded with the source `reconcile`.
    """

    class Reason(models.TextChoices):
        REPLAY_LOST = "replay_lost", "Position refused"
        OUTAGE = "outage", "Long outage"
        OVERFLOW = "overflow", "Overflow"
        WILDCARD = "wildcard", "Whole entity changed"
        ASKED = "asked", "Requested by an operator"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    #: The initial values of the results, without the cursor.
    BEGINNING: ClassVar[dict[str, Any]] = {
        "compared": 0,
        "present": 0,
        "known_in_part": 0,
        "added": 0,
        "looked_up": 0,
        "deletions_added": 0,
        "share": 0,
        "report": "",
    }

    listener = models.ForeignKey(Listener, models.CASCADE, related_name="reconciliations")
    entity_name = models.CharField(
        "entity", max_length=255, blank=True, help_text="Empty: all entities of the channel."
    )
    reason = models.CharField(max_length=20, choices=Reason)
    # The entry of the overflow or wildcard that caused it.
    entry = models.ForeignKey(AuditLogEntry, models.CASCADE, null=True, blank=True)
    incident = models.ForeignKey(
        Incident, models.SET_NULL, null=True, blank=True, related_name="reconciliations"
    )
    window_start = models.DateTimeField(
        null=True, blank=True, help_text="Empty: from the first record of the org."
    )
    window_end = models.DateTimeField()
    requested_by = models.CharField(max_length=150, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    # The opaque position up to which records are compared; after a crash, it continues from there.
    cursor = models.JSONField(default=dict, blank=True)
    compared = models.PositiveBigIntegerField(default=0, help_text="Changed records in Salesforce.")
    present = models.PositiveBigIntegerField(
        default=0, help_text="Records that are complete in the audit log."
    )
    known_in_part = models.PositiveBigIntegerField(
        default=0,
        help_text="Records that are known in part: the audit log does not reach back to their "
        "creation or to a read of the whole record.",
    )
    added = models.PositiveBigIntegerField(default=0, help_text="Missing records that were added.")
    looked_up = models.PositiveBigIntegerField(
        default=0,
        help_text="Records of the audit log, looked up by id in Salesforce.",
    )
    deletions_added = models.PositiveBigIntegerField(
        default=0,
        help_text="Records deleted in Salesforce whose missing deletion was added.",
    )
    report = models.TextField(blank=True, help_text="Summary of the comparison.")
    share = models.FloatField(
        default=0,
        help_text="Approximate progress from 0 to 1, by entities and their time ranges.",
    )
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(window_start__isnull=True) | Q(window_end__gte=F("window_start")),
                name="reconciliation_window_ordered",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["waiting", "running"]),
                name="reconciliation_due",
            ),
        ]

    def reset_progress(self) -> None:
        """Reset the progress. The caller saves the row."""
        for name, value in self.BEGINNING.items():
            setattr(self, name, value)
        self.cursor = {}

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.entity_name or 'every entity'}"
