"""The incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Concat, Greatest, Least
from prometheus_client import Counter

from listeners.models import Listener

#: Tries to open an incident while others open and close it.
_TRIES = 20
OPENED = Counter("cdc_incidents_opened", "Incidents opened.", ["kind"])


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


class IncidentQuerySet(models.QuerySet[Any]):
    def opened(self) -> IncidentQuerySet:
        return self.filter(closed_at=None)

    # The following methods run inside any transaction.

    def report(self, listener_id: int | None, trouble: Trouble, now: datetime) -> Incident:
        """Open an incident, or count up the open one and widen its window.

        Without a listener, the incident concerns all listeners.
        """
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
            is_new = False
            # Repeat if the open incident was closed between the two statements.
            for _ in range(_TRIES):
                if open_one.update(**_seen_again(trouble, now)):
                    break
                self.bulk_create([fresh], ignore_conflicts=True)
                is_new = True
            else:
                fresh.save()  # raises the error that `ignore_conflicts` passes over
            incident: Incident = open_one.get()
            if is_new:
                _count_opened(trouble.kind)
        return incident

    def close(
        self, listener_id: int, kind: str, now: datetime, *, key: str | None = None, note: str = ""
    ) -> int:
        """Close the open incidents of a kind, or of a kind and key; return how many.

        `note` is the evidence that the problem is solved.
        """
        found = self.opened().filter(listener_id=listener_id, kind=kind)
        return (found if key is None else found.filter(key=key)).settle(now, note=note)

    def settle(self, now: datetime, *, by: str = "", note: str = "") -> int:
        """Close the open incidents; return how many. `by` is empty when evidence closes them."""
        return self.opened().update(
            closed_at=now,
            closed_by=by[:150],
            note=_with_note(note),
            notify_due_at=now,
            notify_attempts=0,
        )

    def add_note(self, note: str) -> int:
        """Add a line to the notes of incidents, open or closed, such as what was repaired; return
        how many."""
        return self.update(note=_with_note(note))

    def acknowledge(self, by: str, now: datetime) -> int:
        """Acknowledge the open incidents that are not acknowledged yet; return how many."""
        return (
            self.opened()
            .filter(acknowledged_at=None)
            .update(acknowledged_at=now, acknowledged_by=by[:150])
        )


def _with_note(note: str) -> Case:
    """Return the note that an incident has, and this one below."""
    text = models.TextField()
    more = Value(f"\n{note}" if note else "", text)
    return Case(
        When(note="", then=Value(note, text)),
        default=Concat("note", more, output_field=text),
        output_field=text,
    )


def _count_opened(kind: str) -> None:
    """Count an opened incident when the transaction commits. Inside any transaction."""

    def count() -> None:  # named, since Django 5.2 logs the name when it fails
        OPENED.labels(kind).inc()

    transaction.on_commit(count, robust=True)


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


class Incident(models.Model):
    """A problem that an operator should know about: what happened, when, and what to do."""

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
        OUTAGE = "outage", "Not receiving"
        STALL = "stall", "Silent stream"
        RUNWAY = "runway", "Position about to age out"
        QUOTA = "quota", "Daily event limit"
        BACK_OFF = "back_off", "Salesforce asks to wait"
        DEAD_LETTERS = "dead_letters", "Dead letters"
        RECONCILIATION = "reconciliation", "Reconciliation failed"
        UNKNOWN_TASK = "unknown_task", "Unknown task"
        MIRROR_DIFFERS = "mirror_differs", "Mirror differs"
        MIRROR_SCHEMA = "mirror_schema", "Mirrored object changed"
        DESTINATION = "destination", "Destination down"
        QUEUE = "queue", "Queue takes no tasks"
        INTERNAL_ERROR = "internal_error", "Internal error"

    # None: the incident concerns all listeners, as an outage of the broker does.
    listener = models.ForeignKey(
        Listener, models.CASCADE, related_name="incidents", null=True, blank=True
    )
    kind = models.CharField(max_length=30, choices=Kind)
    # Tells apart the incidents of one kind, by entity for example.
    key = models.CharField(max_length=255, blank=True)
    summary = models.TextField()
    action = models.TextField(blank=True, help_text="What the system does about it.")
    remedy = models.TextField(blank=True, help_text="What the operator should do.")
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    count = models.PositiveBigIntegerField(default=0)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(
        max_length=150, blank=True, help_text="Empty: closed automatically."
    )
    note = models.TextField(blank=True, help_text="Why it was closed.")
    # The last notification of each channel (opened or closed), the time of the first notification,
    # and the time of the next attempt.
    told = models.JSONField(default=dict, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True)
    notify_due_at = models.DateTimeField(null=True, blank=True)
    notify_attempts = models.PositiveIntegerField(default=0)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("close_incident", "Can acknowledge and close incidents")]
        constraints = [
            # A repeated problem counts up the open incident.
            models.UniqueConstraint(
                fields=["listener", "kind", "key"],
                condition=Q(closed_at__isnull=True),
                name="incident_one_open",
            ),
            models.UniqueConstraint(
                fields=["kind", "key"],
                condition=Q(closed_at__isnull=True, listener__isnull=True),
                name="incident_one_open_of_no_listener",
            ),
            models.CheckConstraint(
                condition=Q(window_end__isnull=True) | Q(window_end__gte=F("window_start")),
                name="incident_window_ordered",
            ),
        ]

    def __str__(self) -> str:
        kind = str(self.get_kind_display())
        return self.summary if self.summary.startswith(kind) else f"{kind}: {self.summary}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None
