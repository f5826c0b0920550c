"""The record: every change that came, what was lost or odd about it, and what was unreadable."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit.queries import AuditLogQuerySet, IncidentQuerySet
from listeners.models import Listener


class AuditLogEntry(models.Model):
    """One change of one record. Append-only; its id is the order of recording."""

    class Source(models.TextChoices):
        STREAM = "stream", "Stream"
        GAP = "gap", "Gap"
        RECONCILE = "reconcile", "Reconcile"

    listener = models.ForeignKey(Listener, models.PROTECT, related_name="entries")
    channel = models.CharField(max_length=255)
    entity_name = models.CharField("entity", max_length=255)
    record_id = models.CharField("record ID", max_length=255)
    # Not a closed list: a type that Salesforce adds tomorrow must be recorded too.
    change_type = models.CharField(max_length=255)
    change_origin = models.CharField(max_length=1000, blank=True)
    transaction_key = models.CharField(max_length=255)
    sequence_number = models.BigIntegerField()
    commit_timestamp = models.BigIntegerField(help_text="Milliseconds since 1970, UTC.")
    commit_number = models.BigIntegerField(null=True, blank=True)
    commit_user = models.CharField(max_length=255, blank=True)
    replay_id = models.CharField("replay ID", max_length=255, blank=True)
    event_uuid = models.CharField("event UUID", max_length=255, blank=True)
    # How many records the event named: the others are the entries beside this one.
    record_count = models.PositiveIntegerField(default=1)
    # Null where the event did not say (CometD may leave them out), empty where it said "none".
    changed_fields = models.JSONField(null=True, blank=True)
    nulled_fields = models.JSONField(null=True, blank=True)
    diff_fields = models.JSONField(null=True, blank=True)
    changed_data = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.STREAM)
    received_at = models.DateTimeField()

    objects = AuditLogQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit log"
        constraints = [
            # A replayed event adds nothing.
            models.UniqueConstraint(
                "transaction_key",
                "listener",
                "sequence_number",
                "record_id",
                "entity_name",
                "change_type",
                name="entry_identity",
            ),
        ]
        indexes = [
            # Search by record, in the order of changes.
            models.Index(fields=["record_id", "id"], name="entry_record"),
            # The console's filters, newest first.
            models.Index(fields=["entity_name", "-id"], name="entry_entity"),
            models.Index(fields=["listener", "-id"], name="entry_listener"),
            models.Index(fields=["received_at"], name="entry_received"),
        ]

    def __str__(self) -> str:
        return f"{self.change_type} {self.entity_name} {self.record_id}"

    @property
    def exported_replay_id(self) -> int | str | None:
        """A number where Salesforce gave a number (CometD), the text otherwise."""
        if not self.replay_id:
            return None
        return int(self.replay_id) if self.replay_id.lstrip("-").isdecimal() else self.replay_id

    def record_ids(self) -> list[str]:
        """All records that the event named, this entry's among them."""
        if self.record_count == 1:
            return [self.record_id]
        return list(
            type(self)
            .objects.filter(
                listener_id=self.listener_id,
                transaction_key=self.transaction_key,
                sequence_number=self.sequence_number,
                entity_name=self.entity_name,
                change_type=self.change_type,
            )
            .order_by("id")
            .values_list("record_id", flat=True)
        )


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

    listener = models.ForeignKey(Listener, models.CASCADE, related_name="incidents")
    kind = models.CharField(max_length=30, choices=Kind)
    # What tells two incidents of one kind apart, such as the entity.
    key = models.CharField(max_length=255, blank=True)
    summary = models.TextField()
    remedy = models.TextField(blank=True)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    count = models.PositiveBigIntegerField(default=0)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The same trouble again counts up the open incident.
            models.UniqueConstraint(
                fields=["listener", "kind", "key"],
                condition=Q(closed_at__isnull=True),
                name="incident_one_open",
            ),
            models.CheckConstraint(
                condition=Q(window_end__isnull=True) | Q(window_end__gte=F("window_start")),
                name="incident_window_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.summary}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class Quarantined(models.Model):
    """A message that could not be decoded or stored, as it came."""

    listener = models.ForeignKey(Listener, models.PROTECT, related_name="quarantined")
    channel = models.CharField(max_length=255)
    replay_id = models.CharField("replay ID", max_length=255, blank=True)
    raw = models.TextField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the message.")
    error = models.TextField()
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "quarantined"
        constraints = [
            # A replayed message is kept once.
            models.UniqueConstraint(fields=["listener", "digest"], name="quarantined_once"),
        ]

    def __str__(self) -> str:
        return f"Quarantined message {self.pk}: {self.error}"
