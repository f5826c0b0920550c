"""Filters of the audit log, one place for the admin, the export and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Least

if TYPE_CHECKING:
    from audit.models import Incident

FAILED = ("retrying", "dead")


@dataclass(frozen=True)
class AuditLogFilter:
    """What to pick; None or an empty text leaves a field open. Times bound `received_at`.

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


class AuditLogQuerySet(models.QuerySet[Any]):
    def matching(self, wanted: AuditLogFilter) -> AuditLogQuerySet:
        condition = Q()
        for lookup, value in (
            ("listener__name", wanted.listener),
            ("entity_name", wanted.entity),
            ("record_id", wanted.record),
            ("change_type", wanted.change_type),
            ("received_at__gte", wanted.since),
            ("received_at__lt", wanted.until),
        ):
            if value:
                condition &= Q(**{lookup: value})
        return self.filter(condition)._with_delivery(wanted.handler, wanted.state)

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


@dataclass(frozen=True)
class Trouble:
    """What an incident is opened with, or counted up with."""

    kind: str
    key: str
    summary: str
    remedy: str
    window_start: datetime | None = None
    window_end: datetime | None = None
    count: int = 1


class IncidentQuerySet(models.QuerySet[Any]):
    def report(self, listener_id: int, trouble: Trouble, now: datetime) -> Incident:
        """Open an incident, or count up the open one and widen its window.

        Inside any transaction.
        """
        self.bulk_create(
            [
                self.model(
                    listener_id=listener_id,
                    kind=trouble.kind,
                    key=trouble.key[:255],
                    summary=trouble.summary,
                    remedy=trouble.remedy,
                    window_start=trouble.window_start,
                    window_end=trouble.window_end,
                    opened_at=now,
                    last_seen_at=now,
                )
            ],
            ignore_conflicts=True,
        )
        open_one = self.filter(
            listener_id=listener_id, kind=trouble.kind, key=trouble.key[:255], closed_at=None
        )
        changes: dict[str, object] = {
            "count": F("count") + trouble.count,
            "last_seen_at": now,
            "summary": trouble.summary,
        }
        if trouble.window_start and trouble.window_end:
            start, end = trouble.window_start, trouble.window_end
            changes["window_start"] = Least(Coalesce("window_start", start), start)
            changes["window_end"] = Greatest(Coalesce("window_end", end), end)
        open_one.update(**changes)
        incident: Incident = open_one.get()
        return incident

    def close(self, listener_id: int, kind: str, now: datetime, *, key: str | None = None) -> int:
        """Close the open incidents of a kind, or of a kind and key; how many. Inside any
        transaction."""
        found = self.filter(listener_id=listener_id, kind=kind, closed_at=None)
        return (found if key is None else found.filter(key=key)).update(closed_at=now)
