"""Filters of the audit log, one place for the admin, the export and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

FAILED = ("retrying", "dead")


@dataclass(frozen=True)
class AuditLogFilter:
    """What to pick; None or an empty text leaves a field open. Times bound `received_at`, and those
    of the commit say so.

    `state` is a delivery's, or `failed`: retrying or dead.
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
        """One query more where a listener is named: PostgreSQL knows how common an id is, and not
        how common a name is that it has yet to look up."""
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
        listeners = self.model._meta.get_field("listener").related_model._default_manager
        found = listeners.filter(name=name).values_list("pk", flat=True).first()
        return int(found) if found else -1  # nobody's

    def _with_delivery(self, handler: str | None, state: str | None) -> AuditLogQuerySet:
        """Entries with at least one delivery to that handler and in that state."""
        wanted: dict[str, Any] = {}
        if handler:
            wanted["handler"] = handler
        if state:
            wanted["state__in"] = FAILED if state == "failed" else (state,)
        if not wanted:
            return self
        # A subquery and not a join: an entry with three such deliveries is still one entry.
        deliveries = self.model._meta.get_field("deliveries").related_model
        return self.filter(
            models.Exists(
                deliveries._default_manager.filter(entry_id=models.OuterRef("pk"), **wanted)
            )
        )


def _milliseconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1000) if moment else None


@dataclass(frozen=True)
class Trouble:
    """What an incident is opened with, or counted up with.

    `action`: what is being done about it; `remedy`: what the operator should do. `lasts`: a
    condition rather than an event: seen again, it is not counted again.
    """

    kind: str
    key: str
    summary: str
    remedy: str
    window_start: datetime | None = None
    window_end: datetime | None = None
    count: int = 1
    action: str = ""
    lasts: bool = False
