"""OUT: which handler gets which change, and what became of each delivery."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from audit.models import AuditLogEntry
from handlers.conditions import EXAMPLE, flaws
from handlers.origins import origin_flaws, user_flaws
from handlers.queries import DeliveryQuerySet
from listeners.models import Listener
from listeners.secrets import REFERENCES
from listeners.values import storable

_queue = RegexValidator(r"^[\w.-]*$", "Use letters, digits, dots, hyphens and underscores.")


class HandlerMapping(models.Model):
    """A kind of change, and the handler or the Celery task that gets it."""

    class On(models.TextChoices):
        CREATE = "create", "onCreate"
        UPDATE = "update", "onUpdate"
        DELETE = "delete", "onDelete"
        RESTORE = "restore", "onRestore"

    class Ordering(models.TextChoices):
        PER_RECORD = "per_record", "One after the other for each record"
        UNORDERED = "unordered", "In any order"

    listener = models.ForeignKey(Listener, models.CASCADE, related_name="mappings")
    on = models.CharField(max_length=10, choices=On)
    entity = models.CharField(
        max_length=255, default="*", help_text="An entity such as Account, or * for all of them."
    )
    handler = models.CharField(
        max_length=255,
        blank=True,
        help_text="A registered handler. Empty: such changes are recorded only.",
    )
    task = models.CharField(
        max_length=255,
        blank=True,
        help_text="In place of a handler: the name of any Celery task, run elsewhere. It is sent "
        "the event and not tracked past the sending.",
    )
    changed_fields = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text='Updates only: deliver when one of these changed, such as ["Phone"]. Empty: any.',
    )
    condition = models.JSONField(
        validators=[storable],
        default=dict,
        blank=True,
        help_text=f"Deliver only changes whose values meet this, such as {EXAMPLE}. Empty: all.",
    )
    ignore_origins = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text='Leave out what these clients wrote, such as ["my-app"], or whole change origins '
        "with * for any text.",
    )
    ignore_users = models.JSONField(
        validators=[storable],
        default=list,
        blank=True,
        help_text="Leave out what these users wrote: Salesforce user ids.",
    )
    ordering = models.CharField(max_length=20, choices=Ordering, default=Ordering.PER_RECORD)
    queue = models.CharField(
        max_length=100,
        blank=True,
        validators=[_queue],
        help_text="The Celery queue. Empty: the handler's own, or the default.",
    )
    max_attempts = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Empty: the handler's own, or the default.",
    )
    options = models.JSONField(
        validators=[storable],
        default=dict,
        blank=True,
        help_text="What the handler takes, as a JSON object.",
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(handler="") | Q(task=""),
                name="mapping_handler_or_task",
                violation_error_message="Choose a handler or a task, not both.",
            ),
        ]

    def __str__(self) -> str:
        target = self.handler or self.task or "recorded only"
        return f"{self.get_on_display()} {self.entity}: {target}"

    def clean(self) -> None:
        found = {
            "changed_fields": self._changed_fields_flaws(),
            "condition": self._condition_flaws(),
            "ignore_origins": origin_flaws(self.ignore_origins),
            "ignore_users": user_flaws(self.ignore_users),
            "options": self._options_flaws(),
        }
        if errors := {name: messages for name, messages in found.items() if messages}:
            raise ValidationError(errors)

    def _changed_fields_flaws(self) -> list[str]:
        if not _is_list_of_names(self.changed_fields):
            return ['Give a list of field names, such as ["Phone", "Name"].']
        if self.changed_fields and self.on != self.On.UPDATE:
            return ["Only updates have changed fields; leave this empty."]
        return []

    def _condition_flaws(self) -> list[str]:
        if self.condition and self.on == self.On.DELETE:
            return ["A delete has no fields; leave this empty."]
        return flaws(self.condition)

    def _options_flaws(self) -> list[str]:
        if not isinstance(self.options, dict):
            return ["Give a JSON object, such as {}."]
        if "secret" in self.options and not str(self.options["secret"]).startswith(REFERENCES):
            return ["A secret must be a reference: env:NAME or file:PATH."]
        return []


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


class Delivery(models.Model):
    """One change for one handler: the outbox's row and its state.

    blocked → ready → queued → running → succeeded | skipped | dead, with retrying between two
    attempts; ready → sent for a task that runs elsewhere; skipped from the start where the mapping
    leaves the change out.
    """

    class State(models.TextChoices):
        BLOCKED = "blocked", "Blocked"
        READY = "ready", "Ready"
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        SKIPPED = "skipped", "Skipped"
        RETRYING = "retrying", "Retrying"
        DEAD = "dead", "Dead"
        SENT = "sent", "Sent"

    UNENDED = (State.BLOCKED, State.READY, State.QUEUED, State.RUNNING, State.RETRYING)

    entry = models.ForeignKey(AuditLogEntry, models.CASCADE, related_name="deliveries")
    mapping = models.ForeignKey(
        HandlerMapping, models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    handler = models.CharField(max_length=255)
    is_external = models.BooleanField(default=False)
    queue = models.CharField(max_length=100, blank=True)
    # Lane (routing.lanes) and record: the deliveries of a chain run one after the other. Empty: in
    # any order.
    chain = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    claim_deadline = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["entry", "mapping"], name="delivery_once_a_mapping"),
            models.CheckConstraint(
                condition=~Q(state="retrying") | Q(due_at__isnull=False),
                name="delivery_retrying_has_due_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(claim_deadline__isnull=False),
                name="delivery_running_has_deadline",
            ),
            # Two runs of one chain at once cannot be written down.
            models.UniqueConstraint(
                fields=["chain"],
                condition=Q(state__in=["ready", "queued", "running", "retrying"]) & ~Q(chain=""),
                name="delivery_one_open_in_a_chain",
            ),
        ]
        indexes = [
            # relay.publish_due: committed and not published.
            models.Index(fields=["id"], condition=Q(state="ready"), name="delivery_ready"),
            # relay.publish_due: due for another attempt.
            models.Index(fields=["due_at"], condition=Q(state="retrying"), name="delivery_due"),
            # relay.requeue_lost: published and not begun.
            models.Index(fields=["queued_at"], condition=Q(state="queued"), name="delivery_queued"),
            # relay.reclaim: begun by a worker that died.
            models.Index(
                fields=["claim_deadline"], condition=Q(state="running"), name="delivery_running"
            ),
            # settle: the next in a chain; ingest: what is before it.
            models.Index(fields=["chain", "id"], name="delivery_chain"),
            # The console's list of what failed for good.
            models.Index(fields=["id"], condition=Q(state="dead"), name="delivery_dead"),
        ]

    def __str__(self) -> str:
        return f"{self.handler}: {self.get_state_display()}"


class DeliveryAttempt(models.Model):
    """One run, written when it ended. Append-only."""

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded", "Succeeded"
        SKIPPED = "skipped", "Skipped"
        FAILED = "failed", "Failed"
        RETRY = "retry", "Asked for a retry"
        LOST = "lost", "Lost with its worker"

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempt_log")
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome)
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

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.get_outcome_display()}"
