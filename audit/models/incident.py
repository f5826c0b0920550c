"""What an operator should know."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit.queries import IncidentQuerySet
from listeners.models import Listener


class Incident(models.Model):
    """Something an operator should know: what happened, in which window, and what to do."""

    class Kind(models.TextChoices):
        GAP = "gap", "Gap events"
        OVERFLOW = "overflow", "Overflow"
        WILDCARD = "wildcard", "Whole entity changed"
        UNKNOWN_CHANGE_TYPE = "unknown_change_type", "Unknown change type"
        UNDECODABLE = "undecodable", "Undecodable event"
        MALFORMED_ANSWER = "malformed_answer", "Malformed answer"
        REPLAY_LOST = "replay_lost", "Position refused"
        CONFIGURATION = "configuration", "Configuration failure"
        LOGIN = "login", "Login tokens"
        OUTAGE = "outage", "Not receiving"
        STALL = "stall", "Silent stream"
        RUNWAY = "runway", "Position about to age out"
        QUOTA = "quota", "Daily event limit"
        BACK_OFF = "back_off", "Salesforce asks to wait"
        DEAD_LETTERS = "dead_letters", "Dead letters"
        RECONCILIATION = "reconciliation", "Comparison failed"
        UNKNOWN_TASK = "unknown_task", "Unknown task"

    # None: about all of them, such as the broker.
    listener = models.ForeignKey(
        Listener, models.CASCADE, related_name="incidents", null=True, blank=True
    )
    kind = models.CharField(max_length=30, choices=Kind)
    # What tells two incidents of one kind apart, such as the entity.
    key = models.CharField(max_length=255, blank=True)
    summary = models.TextField()
    action = models.TextField(blank=True, help_text="What is being done about it.")
    remedy = models.TextField(blank=True, help_text="What the operator should do.")
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    count = models.PositiveBigIntegerField(default=0)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(
        max_length=150, blank=True, help_text="Empty: by evidence, not by hand."
    )
    note = models.TextField(blank=True, help_text="Why it was closed.")
    # What each channel of notification was told last, the opening or the closing; when any was
    # told first; and when the next try is due.
    told = models.JSONField(default=dict, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True)
    notify_due_at = models.DateTimeField(null=True, blank=True)
    notify_attempts = models.PositiveIntegerField(default=0)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("close_incident", "Can acknowledge and close incidents")]
        constraints = [
            # The same trouble again counts up the open incident.
            models.UniqueConstraint(
                fields=["listener", "kind", "key"],
                condition=Q(closed_at__isnull=True),
                name="incident_one_open",
            ),
            models.UniqueConstraint(
                fields=["kind", "key"],
                condition=Q(closed_at__isnull=True, listener__isnull=True),
                name="incident_one_open_of_no_listener",
            ),
            models.CheckConstraint(
                condition=Q(window_end__isnull=True) | Q(window_end__gte=F("window_start")),
                name="incident_window_ordered",
            ),
        ]

    def __str__(self) -> str:
        kind = str(self.get_kind_display())
        return self.summary if self.summary.startswith(kind) else f"{kind}: {self.summary}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None
