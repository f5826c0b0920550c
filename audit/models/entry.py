"""The audit log entry, and the filters that the console, the export and the API share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from listeners.models import Listener

FAILED = ("retrying", "dead")


@dataclass(frozen=True)
class AuditLogFilter:
    """A filter of entries; None or an empty text does not filter.

    `since` and `until` limit `received_at`. `state` is a delivery state, or `failed`: retrying or
    dead.
    """

    listener: str | None = None
    entity: str | None = None
    record: str | None = None
    change_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    handler: str | None = None
    state: str | None = None
    source: str | None = None
    committed_since: datetime | None = None
    committed_until: datetime | None = None


class AuditLogQuerySet(models.QuerySet[Any]):
    def matching(self, wanted: AuditLogFilter) -> AuditLogQuerySet:
        """Return the matching entries.

        A listener's id is looked up first, since PostgreSQL has statistics about ids and cannot
        estimate a join with a name.
        """
        condition = Q()
        for lookup, value in (
            ("listener_id", self._listener_id(wanted.listener)),
            ("entity_name", wanted.entity),
            ("record_id", wanted.record),
            ("change_type", wanted.change_type),
            ("received_at__gte", wanted.since),
            ("received_at__lt", wanted.until),
            ("source", wanted.source),
            ("commit_timestamp__gte", _milliseconds(wanted.committed_since)),
            ("commit_timestamp__lt", _milliseconds(wanted.committed_until)),
        ):
            if value:
                condition &= Q(**{lookup: value})
        return self.filter(condition)._with_delivery(wanted.handler, wanted.state)

    def _listener_id(self, name: str | None) -> int | None:
        if not name:
            return None
        found = Listener.objects.filter(name=name).values_list("pk", flat=True).first()
        return int(found) if found else -1  # matches no entry

    def _with_delivery(self, handler: str | None, state: str | None) -> AuditLogQuerySet:
        """Return the entries with at least one delivery to the handler and in the state."""
        wanted: dict[str, Any] = {}
        if handler:
            wanted["handler"] = handler
        if state:
            wanted["state__in"] = FAILED if state == "failed" else (state,)
        if not wanted:
            return self
        # A join would repeat an entry for each of its deliveries.
        deliveries = self.model._meta.get_field("deliveries").related_model
        return self.filter(
            models.Exists(
                deliveries._default_manager.filter(entry_id=models.OuterRef("pk"), **wanted)
            )
        )


def _milliseconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None


#: Entries read over REST: a record's values, or its deletion.
_FOUND_OUT = Q(as_of__isnull=False) | Q(source="reconcile", change_type="DELETE")


class AuditLogEntry(models.Model):
    """One change of one record. Append-only; ids ascend in the order of recording."""

    class Source(models.TextChoices):
        STREAM = "stream", "Stream"
        GAP = "gap", "Gap"
        RECONCILE = "reconcile", "Reconcile"

    # The indexes below begin with the listener.
    listener = models.ForeignKey(Listener, models.PROTECT, related_name="entries", db_index=False)
    channel = models.CharField(max_length=255)
    entity_name = models.CharField("entity", max_length=255)
    record_id = models.CharField("record ID", max_length=255)
    # Not a closed list: types that Salesforce adds later must be recorded too.
    change_type = models.CharField(max_length=255)
    change_origin = models.CharField(max_length=1000, blank=True)
    transaction_key = models.CharField(max_length=255)
    sequence_number = models.BigIntegerField()
    commit_timestamp = models.BigIntegerField(help_text="Milliseconds since 1970, UTC.")
    commit_number = models.BigIntegerField(null=True, blank=True)
    commit_user = models.CharField(max_length=255, blank=True)
    replay_id = models.CharField("replay ID", max_length=255, blank=True)
    event_uuid = models.CharField("event UUID", max_length=255, blank=True)
    # The number of records that the event names; each has its own entry.
    record_count = models.PositiveIntegerField(default=1)
    # Null when the event has no such list. The Streaming API sends changed_fields only;
    # `listeners.salesforce.diffs` derives the others from the body.
    changed_fields = models.JSONField(null=True, blank=True)
    nulled_fields = models.JSONField(null=True, blank=True)
    diff_fields = models.JSONField(null=True, blank=True)
    # Header fields without a column, as an object; null when the event has none.
    header_extra = models.JSONField(null=True, blank=True)
    changed_data = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.STREAM)
    received_at = models.DateTimeField()
    # Set for entries read over REST, in ms since 1970, UTC: the record's LastModifiedDate, and the
    # time up to which the read includes all committed changes.
    as_of = models.BigIntegerField(null=True, blank=True)
    read_at = models.BigIntegerField(null=True, blank=True)

    objects = AuditLogQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit log"
        permissions = [("view_sensitive", "Can see the values of sensitive fields")]
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
            # Search by record id or its prefix, in the order of changes, also those that one of the
            # record's listeners recorded. PostgreSQL needs this operator class for prefixes in any
            # locale.
            models.Index(
                fields=["record_id", "id", "listener"],
                name="entry_record",
                opclasses=["varchar_pattern_ops", "int8_ops", "int8_ops"],
            ),
            # The console's search by user.
            models.Index(fields=["commit_user", "-id"], name="entry_user"),
            # The console's filter by commit time; new entries are added at the end.
            models.Index(fields=["commit_timestamp", "id"], name="entry_committed"),
            # The console's filters, for values too rare to be found soon in the order of recording.
            models.Index(
                fields=["change_type", "-id"],
                condition=~Q(change_type="UPDATE"),
                name="entry_not_update",
            ),
            models.Index(
                fields=["source", "-id"], condition=~Q(source="stream"), name="entry_not_streamed"
            ),
            # The console's filters, newest first.
            models.Index(fields=["entity_name", "-id"], name="entry_entity"),
            models.Index(fields=["listener", "-id"], name="entry_listener"),
            models.Index(fields=["received_at", "id"], name="entry_received"),
            # The same for one listener, which may have been idle for long.
            models.Index(fields=["listener", "received_at", "id"], name="entry_listener_received"),
            # handlers.ordering.read_records compares a change with the REST reads of its record.
            # Without the listener in the index, SQLite would read all entries of the listener.
            models.Index(
                fields=["listener", "record_id"],
                condition=_FOUND_OUT,
                name="entry_read",
            ),
        ]

    FOUND_OUT: ClassVar[Q] = _FOUND_OUT

    #: The cached result of `record_ids`.
    _named: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.change_type} {self.entity_name} {self.record_id}"

    @property
    def exported_replay_id(self) -> int | str | None:
        """Return the replay id as a number if Salesforce sent a number (CometD), else as text."""
        if not self.replay_id:
            return None
        return int(self.replay_id) if self.replay_id.lstrip("-").isdecimal() else self.replay_id

    def record_ids(self) -> tuple[str, ...]:
        """Return the ids of all records that the event names, including this entry's."""
        if self.record_count == 1:
            return (self.record_id,)
        if self._named is None:
            self._named = tuple(
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
        return self._named

    @staticmethod
    def share_record_ids(entries: Iterable[AuditLogEntry]) -> None:
        """Read the record ids of each event once for all its entries."""
        named: dict[tuple[object, ...], tuple[str, ...]] = {}
        for entry in entries:
            if entry.record_count > 1:
                event = (entry.listener_id, entry.transaction_key, entry.sequence_number)
                kind = (*event, entry.entity_name, entry.change_type)
                entry._named = named.get(kind)
                named[kind] = entry.record_ids()
