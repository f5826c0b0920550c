"""Filters of the audit log, shared by the console, the export and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

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
        listeners = self.model._meta.get_field("listener").related_model._default_manager
        found = listeners.filter(name=name).values_list("pk", flat=True).first()
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


@dataclass(frozen=True)
class Trouble:
    """A problem to report as an incident.

    action   what the platform does about it
    remedy   what the operator should do
    lasts    whether it is a lasting condition, which is not counted again when it is seen again
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
