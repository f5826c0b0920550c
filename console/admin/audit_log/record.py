"""The history of a Salesforce record over all listeners, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils.safestring import SafeString

from audit.log.masking import Sight
from audit.models import AuditLogEntry
from console.admin.audit_log.field_rows import BOOKKEEPING, field_rows
from console.admin.audit_log.search import forms
from console.labels import change_type_label, label, state_label
from handlers.models import Delivery

PAGE = 25
FIELDS = 8


def record_page(record_id: str, before: int | None, see: Sight) -> dict[str, Any]:
    """Return what `record_page.html` shows: the record's entries with ids below `before`.

    `older` is the `before` of the next page, or None.
    """
    found = list(_entries(record_id, before)[: PAGE + 1])
    page = found[:PAGE]
    return {
        "record_id": record_id,
        "entity": page[0].entity_name if page else "",
        "happenings": [_happening(entry, see) for entry in page],
        "before": before,
        "older": page[-1].pk if len(found) > PAGE else None,
    }


def _happening(entry: AuditLogEntry, see: Sight) -> dict[str, Any]:
    rows = [row for row in field_rows(entry, see=see) if row.name not in BOOKKEEPING]
    return {
        "entry": entry,
        "change_type": change_type_label(entry.change_type),
        "marks": list(_marks(entry)),
        "fields": rows[:FIELDS],
        "more_fields": len(rows[FIELDS:]),
        "deliveries": [
            (delivery, state_label(delivery.state)) for delivery in entry.deliveries.all()
        ],
    }


def _entries(record_id: str, before: int | None) -> QuerySet[AuditLogEntry]:
    """Return the record's entries in the order of the index `entry_record`, newest first."""
    names = forms(record_id)
    which = {"record_id": names[0]} if len(names) == 1 else {"record_id__in": names}
    entries = AuditLogEntry.objects.filter(**which).order_by("-id")
    if before is not None:
        entries = entries.filter(id__lt=before)
    deliveries = Prefetch("deliveries", Delivery.objects.order_by("id").defer("error"))
    return entries.select_related("listener", "dirty").prefetch_related(deliveries)


def _marks(entry: AuditLogEntry) -> Iterable[SafeString]:
    """Yield labels of an entry that is not from the stream, or not complete yet."""
    if entry.source != AuditLogEntry.Source.STREAM:
        title = "Read from Salesforce over REST, not received as an event"
        yield label(f"from {entry.get_source_display().lower()}", "warning", title=title)
    if hasattr(entry, "dirty"):
        title = entry.dirty.error or "The event named the change without its values"
        yield label("waiting for REST read", "warning", title=title)
