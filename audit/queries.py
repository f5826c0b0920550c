"""Filters of the audit log, one place for the admin, the export and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Least

from audit import metrics

if TYPE_CHECKING:
    from audit.models import Incident

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


class IncidentQuerySet(models.QuerySet[Any]):
    def opened(self) -> IncidentQuerySet:
        return self.filter(closed_at=None)

    # Inside any transaction: reporting, closing, acknowledging.

    def report(self, listener_id: int | None, trouble: Trouble, now: datetime) -> Incident:
        """Open an incident, or count up the open one and widen its window. Without a listener it is
        about all of them."""
        about: dict[str, Any] = {
            "listener_id": listener_id,
            "kind": trouble.kind,
            "key": trouble.key[:255],
        }
        fresh = self.model(
            **about,
            summary=trouble.summary,
            action=trouble.action,
            remedy=trouble.remedy,
            window_start=trouble.window_start,
            window_end=trouble.window_end,
            count=1 if trouble.lasts else 0,
            opened_at=now,
            last_seen_at=now,
            notify_due_at=now,
        )
        open_one = self.opened().filter(**about)
        with transaction.atomic():
            # Closed by somebody between the two: then it is opened anew.
            is_new = False
            while not open_one.update(**_seen_again(trouble, now)):
                self.bulk_create([fresh], ignore_conflicts=True)
                is_new = True
            incident: Incident = open_one.get()
            if is_new:
                metrics.opened(trouble.kind)
        return incident

    def close(
        self, listener_id: int, kind: str, now: datetime, *, key: str | None = None, note: str = ""
    ) -> int:
        """Close the open incidents of a kind, or of a kind and key, by evidence; how many.

        `note` says what the evidence is.
        """
        found = self.opened().filter(listener_id=listener_id, kind=kind)
        return (found if key is None else found.filter(key=key)).settle(now, note=note)

    def settle(self, now: datetime, *, by: str = "", note: str = "") -> int:
        """Close those of these that are open: by evidence, or by somebody; how many."""
        return self.opened().update(
            closed_at=now, closed_by=by[:150], note=note, notify_due_at=now, notify_attempts=0
        )

    def acknowledge(self, by: str, now: datetime) -> int:
        """Write down who looks after those of these that are open and nobody's yet; how many."""
        return (
            self.opened()
            .filter(acknowledged_at=None)
            .update(acknowledged_at=now, acknowledged_by=by[:150])
        )


def _seen_again(trouble: Trouble, now: datetime) -> dict[str, object]:
    changes: dict[str, object] = {"last_seen_at": now, "summary": trouble.summary}
    if trouble.lasts:
        changes |= {"action": trouble.action, "remedy": trouble.remedy}
    else:
        changes["count"] = F("count") + trouble.count
    if trouble.window_start and trouble.window_end:
        start, end = trouble.window_start, trouble.window_end
        changes["window_start"] = Least(Coalesce("window_start", start), start)
        changes["window_end"] = Greatest(Coalesce("window_end", end), end)
    return changes
