"""What became of each change for each of its handlers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.models import AuditLogEntry
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.models.mapping import HandlerMapping
from handlers.models.redelivery import Redelivery
from handlers.sdk import registry
from handlers.sdk.retry_policy import allowed


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

    # Found by the constraint that begins with it.
    entry = models.ForeignKey(
        AuditLogEntry, models.CASCADE, related_name="deliveries", db_index=False
    )
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
    # Ready or to be tried again, and set aside while its mapping is paused. The mapping says
    # whether it is; this keeps what waits for it out of the relay's way.
    paused = models.BooleanField(default=False, editable=False)
    # Blocked until its record was read over REST, whatever ends before it in its chain.
    awaits_record = models.BooleanField(default=False)
    # Dead, and what follows in its chain is held back (the mapping's on_dead).
    halts = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    # Its order in the chain does not tell whether a later change of the record was handled before
    # it: its mapping's lane was changed, or others beside the lane show the same record. Then it is
    # looked up when it runs.
    may_be_overtaken = models.BooleanField(default=False, editable=False)
    # Of the attempts, those from before it was last redelivered: they count against no limit.
    attempts_before = models.PositiveIntegerField(default=0)
    # Found by an index of those that have one.
    redelivery = models.ForeignKey(
        Redelivery,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,
    )
    error = models.TextField(blank=True)
    # Of what failed: the same for errors of one handler that differ in numbers and names alone
    # (dead_letters.fingerprint). Empty: it has not failed.
    error_group = models.CharField(max_length=16, blank=True, editable=False)
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
        permissions = [("redeliver_delivery", "Can redeliver changes")]
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
            models.CheckConstraint(
                condition=Q(awaits_record=False) | Q(state="blocked"),
                name="delivery_awaiting_is_blocked",
            ),
            models.CheckConstraint(
                condition=Q(halts=False) | Q(state="dead"), name="delivery_halting_is_dead"
            ),
            # Two runs of one chain at once cannot be written down.
            models.UniqueConstraint(
                fields=["chain"],
                condition=Q(state__in=["ready", "queued", "running", "retrying"]) & ~Q(chain=""),
                name="delivery_one_open_in_a_chain",
            ),
        ]
        indexes = [
            # relay.publish_due: committed and not published. The console's and the API's filter by
            # that state, where those of paused mappings count too.
            models.Index(
                fields=["paused", "id"], condition=Q(state="ready"), name="delivery_waiting"
            ),
            # relay.publish_due: due for another attempt.
            models.Index(
                fields=["due_at"],
                condition=Q(state="retrying", paused=False),
                name="delivery_retry",
            ),
            # pausing.resumed: what was set aside, once its mapping is not paused any more.
            models.Index(
                fields=["mapping", "id"], condition=Q(paused=True), name="delivery_paused"
            ),
            # relay.requeue_lost: published and not begun.
            models.Index(fields=["queued_at"], condition=Q(state="queued"), name="delivery_queued"),
            # relay.reclaim: begun by a worker that died.
            models.Index(
                fields=["claim_deadline"], condition=Q(state="running"), name="delivery_running"
            ),
            # ingest: what is before it in a chain.
            models.Index(fields=["chain", "id"], name="delivery_chain"),
            # following.followers: the next in a chain; relay.promote_stranded: which of them can
            # begin?
            models.Index(
                fields=["chain", "id"], condition=Q(state="blocked"), name="delivery_next"
            ),
            # promote and relay: dead, and holding its chain back.
            models.Index(fields=["chain"], condition=Q(halts=True), name="delivery_halting"),
            # The console's list of what failed for good.
            models.Index(fields=["id"], condition=Q(state="dead"), name="delivery_dead"),
            # The console's filters by what is too rare to be met soon in the order of recording.
            models.Index(fields=["id"], condition=Q(state="skipped"), name="delivery_skipped"),
            models.Index(fields=["handler", "-id"], name="delivery_handler"),
            # dead_letters.groups counts them from the index alone; the deliveries of one group.
            models.Index(
                fields=["state", "error_group", "-id", "started_at", "halts"],
                condition=Q(state__in=["dead", "retrying"]),
                name="delivery_error_group",
            ),
            # designer.counts: by mapping, how much is stuck, and the newest that failed.
            models.Index(
                fields=["mapping", "state", "-id"],
                condition=Q(state__in=["blocked", "retrying", "dead"]),
                name="delivery_of_mapping",
            ),
            # The console's filter by time.
            models.Index(fields=["created_at", "id"], name="delivery_created"),
            # A redelivery's page: what became of them since.
            models.Index(
                fields=["redelivery", "state"],
                condition=Q(redelivery__isnull=False),
                name="delivery_redelivered",
            ),
        ]

    @property
    def asked_by(self) -> HandlerMapping | None:
        """Its mapping, unless that was deleted."""
        mapping: HandlerMapping | None = self.mapping
        return mapping if mapping is not None and not mapping.is_deleted else None

    @property
    def allowed_attempts(self) -> int:
        mapping: HandlerMapping | None = self.mapping
        of_mapping = mapping.max_attempts if mapping else None
        return allowed(registry.find(self.handler), of_mapping)

    def __str__(self) -> str:
        return f"{self.handler}: {self.state}"
