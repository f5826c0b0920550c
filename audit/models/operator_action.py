"""The action log."""

from __future__ import annotations

from django.conf import settings
from django.db import models


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
