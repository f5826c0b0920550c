"""All that happened to one Salesforce record, over all listeners, the newest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet
from django.utils.safestring import SafeString

from audit.log.masking import Sight
from audit.models import AuditLogEntry
from console.admin.audit_log.field_rows import BOOKKEEPING, FieldRow, field_rows
from console.admin.audit_log.search import forms
from console.delivery_labels import state_label
from console.labels import change_type_label, label
from handlers.models import Delivery

PAGE = 25
FIELDS = 8


@dataclass(frozen=True)
class Happening:
    """One entry, as the timeline shows it."""

    entry: AuditLogEntry
    change_type: SafeString
    marks: list[SafeString]
    fields: list[FieldRow]
    more_fields: int
    deliveries: list[tuple[Delivery, SafeString]]

    @classmethod
    def of(cls, entry: AuditLogEntry, see: Sight) -> Happening:
        rows = field_rows(entry, see=see)
        own = [row for row in rows if row.name not in BOOKKEEPING]
        return cls(
            entry=entry,
            change_type=change_type_label(entry.change_type),
            marks=list(_marks(entry)),
            fields=own[:FIELDS],
            more_fields=len(own[FIELDS:]),
            deliveries=[(one, state_label(one.state)) for one in entry.deliveries.all()],
        )


@dataclass(frozen=True)
class RecordPage:
    """`older`: the id that the next page ends before, or None. `before`: where this one does."""

    record_id: str
    entity: str
    happenings: list[Happening]
    before: int | None
    older: int | None

    @classmethod
    def of(cls, record_id: str, before: int | None, see: Sight) -> RecordPage:
        found = list(_entries(record_id, before)[: PAGE + 1])
        page = found[:PAGE]
        return cls(
            record_id=record_id,
            entity=page[0].entity_name if page else "",
            happenings=[Happening.of(entry, see) for entry in page],
            before=before,
            older=page[-1].pk if len(found) > PAGE else None,
        )


def _entries(record_id: str, before: int | None) -> QuerySet[AuditLogEntry]:
    """Found by `entry_record`, in its order: one form of the ID is one look-up."""
    names = forms(record_id)
    which = {"record_id": names[0]} if len(names) == 1 else {"record_id__in": names}
    entries = AuditLogEntry.objects.filter(**which).order_by("-id")
    if before is not None:
        entries = entries.filter(id__lt=before)
    deliveries = Prefetch("deliveries", Delivery.objects.order_by("id").defer("error"))
    return entries.select_related("listener", "dirty").prefetch_related(deliveries)


def _marks(entry: AuditLogEntry) -> Iterable[SafeString]:
    """How it was learnt, where that was not from the stream; and what is known to be missing."""
    if entry.source != AuditLogEntry.Source.STREAM:
        title = "Read from Salesforce over REST, and not received as an event"
        yield label(f"from {entry.get_source_display().lower()}", "warning", title=title)
    if hasattr(entry, "dirty"):
        title = entry.dirty.error or "The event told of a change and not what it was"
        yield label("waits to be read over REST", "warning", title=title)
