"""The delivery: one change for one handler, and its state."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit.models import AuditLogEntry
from handlers.models.attempt import DeliveryAttempt
from handlers.models.delivery_queryset import IN_CHAIN, DeliveryQuerySet
from handlers.models.destination import Destination
from handlers.models.mapping import HandlerMapping
from handlers.models.redelivery import Redelivery
from handlers.sdk import registry
from handlers.sdk.registry import attempts_allowed


class Delivery(models.Model):
    """One change for one handler: the outbox's row and its state.

    A new delivery can start, or is blocked (`handlers.outbox.create`): behind another delivery of
    its chain, until its record is read, or until the mirror has applied the change. One that can
    start is committed as queued if it is published at once (`handlers.outbox.handover`), else as
    ready. `promote` makes the next delivery of a chain ready.

    blocked → ready → queued → running → succeeded | skipped | dead, with retrying between two
    attempts. The attempt of a tracked external task begins when it is queued. ready → sent for an
    external task that is not tracked; skipped from the start if the mapping ignores the change.
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

    WAITING = (State.BLOCKED, State.READY, State.QUEUED, State.RETRYING)
    UNENDED = (*WAITING, State.RUNNING)

    # The unique constraint starts with this column, so it needs no index.
    entry = models.ForeignKey(
        AuditLogEntry, models.CASCADE, related_name="deliveries", db_index=False
    )
    # A mapping that is deleted keeps its row as long as it has deliveries (mappings.soft_delete).
    mapping = models.ForeignKey(HandlerMapping, models.DO_NOTHING, related_name="deliveries")
    handler = models.CharField(max_length=255)
    is_external = models.BooleanField(default=False)
    # External, and its worker reports its end (the mapping's `track`).
    is_tracked = models.BooleanField(default=False, editable=False)
    # Where the task of the latest attempt was sent, and its report is read; null is our own broker.
    # The mapping may name another destination since.
    destination = models.ForeignKey(
        Destination,
        models.DO_NOTHING,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    queue = models.CharField(max_length=100, blank=True)
    # Lane (router.lanes) and record: the deliveries of a chain run one after the other. Empty for
    # an unordered delivery.
    chain = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    # Ready or retrying, and set aside while its mapping is paused. The mapping says whether it is
    # paused; this column keeps its deliveries out of the relay's queries.
    paused = models.BooleanField(default=False, editable=False)
    # Blocked until its record is read over REST, even if it is first in its chain.
    awaits_record = models.BooleanField(default=False)
    # Blocked until the record's mirror has applied the change (the mapping's `after`).
    awaits_mirror = models.BooleanField(default=False, editable=False)
    # Dead, and the later deliveries of its chain are held back (the mapping's on_dead).
    halts = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    # The order in the chain does not tell whether a later change of the record was handled first:
    # the mapping's lane was changed, or mappings outside the lane show the same record. Then the
    # run looks for later changes.
    may_be_overtaken = models.BooleanField(default=False, editable=False)
    # The attempts from before the last redelivery, which do not count against the limit.
    attempts_before = models.PositiveIntegerField(default=0)
    # A partial index covers the rows that have one.
    redelivery = models.ForeignKey(
        Redelivery,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,
    )
    error = models.TextField(blank=True)
    # The dead-letter group: the same for errors of one handler that differ only in numbers and
    # names (dead_letters.groups). Empty if the delivery has not failed.
    error_group = models.CharField(max_length=16, blank=True, editable=False)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    claim_deadline = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # The worker of the attempt that succeeded.
    worker = models.CharField(max_length=255, blank=True, editable=False)

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
                condition=Q(awaits_mirror=False) | Q(state="blocked"),
                name="delivery_awaiting_mirror_is_blocked",
            ),
            models.CheckConstraint(
                condition=Q(halts=False) | Q(state="dead"), name="delivery_halting_is_dead"
            ),
            # Makes two runs of one chain at the same time impossible.
            models.UniqueConstraint(
                fields=["chain"],
                condition=Q(state__in=["ready", "queued", "running", "retrying"]) & ~Q(chain=""),
                name="delivery_one_open_in_a_chain",
            ),
        ]
        indexes = [
            # relay.publish_due: committed and not published, also of one mapping. Also the filters
            # by that state in the console and the API, which include paused mappings.
            models.Index(
                fields=["paused", "mapping", "id"],
                condition=Q(state="ready"),
                name="delivery_waiting",
            ),
            # relay.publish_due: due for another attempt.
            models.Index(
                fields=["due_at"],
                condition=Q(state="retrying", paused=False),
                name="delivery_retry",
            ),
            # mappings.pause: deliveries to release once their mapping is resumed.
            models.Index(
                fields=["mapping", "id"], condition=Q(paused=True), name="delivery_paused"
            ),
            # relay.requeue_lost: published and not started.
            models.Index(fields=["queued_at"], condition=Q(state="queued"), name="delivery_queued"),
            # relay.reclaim: started by a worker that died.
            models.Index(
                fields=["claim_deadline"], condition=Q(state="running"), name="delivery_running"
            ),
            # tracking.overdue: sent, and not reported as ended.
            models.Index(
                fields=["destination", "claim_deadline"],
                condition=Q(is_tracked=True, state__in=["queued", "running"]),
                name="delivery_unreported",
            ),
            # DeliveryQuerySet.lock_occupied_chains: deliveries of a chain that have not ended or
            # that halt it. Nearly all have ended, and take no place in it.
            models.Index(fields=["chain", "id"], condition=IN_CHAIN, name="delivery_chain"),
            # chain_heads.followers: the next delivery of a chain. relay.promote_stranded: the
            # blocked deliveries that can start.
            models.Index(
                fields=["chain", "id"], condition=Q(state="blocked"), name="delivery_next"
            ),
            # chain_heads.followers and relay: dead, and holding the chain back.
            models.Index(fields=["chain"], condition=Q(halts=True), name="delivery_halting"),
            # ordering.await_mirror: the deliveries that wait for the mirror, and those of an entry.
            models.Index(
                fields=["entry"], condition=Q(awaits_mirror=True), name="delivery_awaits_mirror"
            ),
            # The console's list of dead letters, and what filters or counts them. Dead deliveries
            # lie far apart in the table, so the index has the columns that these queries need.
            models.Index(
                fields=[
                    "id",
                    "handler",
                    "created_at",
                    "entry",
                    "error_group",
                    "started_at",
                    "halts",
                ],
                condition=Q(state="dead"),
                name="delivery_dead",
            ),
            # The console's filters by values too rare to find quickly in the order of recording.
            models.Index(fields=["id"], condition=Q(state="skipped"), name="delivery_skipped"),
            models.Index(fields=["handler", "-id"], name="delivery_handler"),
            # dead_letters.groups: index-only counts, and the deliveries of one group. Also the
            # console's list of entries with a retry.
            models.Index(
                fields=["state", "error_group", "-id", "started_at", "halts", "entry"],
                condition=Q(state__in=["dead", "retrying"]),
                name="delivery_error_group",
            ),
            # console.designer: by mapping, the stuck deliveries and the newest failure.
            models.Index(
                fields=["mapping", "state", "-id"],
                condition=Q(state__in=["blocked", "retrying", "dead"]),
                name="delivery_of_mapping",
            ),
            # The console's filter by time.
            models.Index(fields=["created_at", "id"], name="delivery_created"),
            # A redelivery's page: the states of its deliveries.
            models.Index(
                fields=["redelivery", "state"],
                condition=Q(redelivery__isnull=False),
                name="delivery_redelivered",
            ),
        ]

    @property
    def awaits(self) -> bool:
        """Whether the delivery is blocked even if it is first in its chain."""
        return self.awaits_record or self.awaits_mirror

    @property
    def has_begun(self) -> bool:
        """Whether an attempt has begun and has not ended: a worker runs it, or the task of a
        tracked delivery was sent."""
        is_sent = self.is_tracked and self.state == self.State.QUEUED
        return is_sent or self.state == self.State.RUNNING

    @property
    def all_attempts(self) -> list[DeliveryAttempt]:
        """The attempts that have ended, in order.

        A first attempt that succeeded has no row until the delivery is redelivered
        (`redelivery.requeue`): the delivery itself has its times and its worker.
        """
        return [self.first_success] if self.is_first_success else list(self.attempt_log.all())

    @property
    def is_first_success(self) -> bool:
        return self.state == self.State.SUCCEEDED and self.attempts == 1

    @property
    def first_success(self) -> DeliveryAttempt:
        """The unsaved row of the first attempt, which succeeded."""
        return DeliveryAttempt(
            delivery=self,
            number=1,
            outcome=DeliveryAttempt.Outcome.SUCCEEDED,
            redelivery=self.redelivery,
            started_at=self.started_at or self.created_at,
            finished_at=self.finished_at or self.created_at,
            worker=self.worker,
        )

    @property
    def active_mapping(self) -> HandlerMapping | None:
        """The mapping, or None if it was deleted."""
        return None if self.mapping.is_deleted else self.mapping

    @property
    def allowed_attempts(self) -> int:
        # An external task may have the name of one of our handlers.
        handler = None if self.is_external else registry.find(self.handler)
        return attempts_allowed(handler, self.mapping.max_attempts)

    def __str__(self) -> str:
        return f"{self.handler}: {self.state}"
