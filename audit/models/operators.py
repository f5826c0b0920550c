"""The action log, exports and prunings, and saved filters."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class OperatorAction(models.Model):
    """An action of an operator: who, through which interface, on which object, and why.

    Append-only; `audit.action_log.note` writes it. Names are stored as texts, since the objects may
    be deleted.
    """

    class Through(models.TextChoices):
        CONSOLE = "admin", "Console"
        API = "api", "API"
        COMMAND = "command", "Command"

    class Action(models.TextChoices):
        ADD = "add", "Added"
        CHANGE = "change", "Changed"
        DELETE = "delete", "Deleted"
        START = "start", "Started"
        STOP = "stop", "Stopped"
        FORGET_POSITION = "forget_position", "Position forgotten"
        REDELIVER = "redeliver", "Redelivered"
        GO_ON = "go_on", "Skipped dead letter"
        ACKNOWLEDGE = "acknowledge", "Acknowledged"
        CLOSE = "close", "Closed"
        READ_AGAIN = "read_again", "Retried"
        RECONCILE = "reconcile", "Reconciliation requested"
        PRUNE = "prune", "Pruned"
        TEST = "test", "Tested"
        PAUSE = "pause", "Paused"
        RESUME = "resume", "Resumed"
        EXPORT = "export", "Export started"
        REVEAL = "reveal", "Export with sensitive values started"
        EXPORT_ENDED = "export_ended", "Export finished"
        CANCEL = "cancel", "Cancelled"
        TAKE_UP = "take_up", "Redelivery resumed"
        REQUEST_RUN = "request_run", "Mirror run requested"

    at = models.DateTimeField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    who = models.CharField(
        max_length=150, help_text="The user name; for a command, the user of the operating system."
    )
    through = models.CharField(max_length=10, choices=Through)
    action = models.CharField(max_length=20, choices=Action)
    object_type = models.CharField(
        max_length=100, blank=True, help_text="Type of the object, such as listener."
    )
    object_id = models.CharField(max_length=255, blank=True)
    object_name = models.CharField(
        max_length=255, blank=True, help_text="Name of the object at that time."
    )
    reason = models.TextField(blank=True)
    details = models.JSONField(
        default=dict,
        blank=True,
        help_text="Details; for settings the names of changed fields, not their values.",
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "action"
        verbose_name_plural = "action log"
        indexes = [
            # The console's filters and the API's, newest first.
            models.Index(fields=["who", "-id"], name="action_who"),
            models.Index(fields=["action", "-id"], name="action_what"),
            models.Index(fields=["object_type", "object_id", "-id"], name="action_object"),
            models.Index(fields=["at"], name="action_at"),
        ]

    def __str__(self) -> str:
        about = f" {self.object_type} {self.object_name}".rstrip()
        return f"{self.get_action_display()}{about} by {self.who}"


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


class SavedFilterQuerySet(models.QuerySet["SavedFilter"]):
    def seen_by(self, user_id: int) -> SavedFilterQuerySet:
        """Return the user's own filters and the shared ones."""
        return self.filter(Q(owner=user_id) | Q(is_shared=True))


class SavedFilter(models.Model):
    """A named search with filters, of one of the console's lists."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    # The model's label, such as `audit.auditlogentry`.
    list = models.CharField(max_length=100)
    name = models.CharField(max_length=60)
    query = models.TextField(help_text="Query string of the list.")
    is_shared = models.BooleanField("shared", default=False)

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "list", "name"], name="saved_filter_once"),
        ]

    def __str__(self) -> str:
        return self.name
