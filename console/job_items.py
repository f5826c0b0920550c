"""Background jobs in one form: redeliveries, reconciliations, mirror runs, exports and pruning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils.text import Truncator

from audit.db.row_count import Total
from audit.jobs.eta import Pace
from audit.models import Reconciliation, Work
from handlers.models import Redelivery
from listeners.access.permissions import User
from mirror.models import MirrorRun
from mirror.words import pace_of, progress_of, result_of

#: The most jobs of each kind that are shown.
MOST = 50
#: A running job that reports no progress for this long may have been lost.
SILENT = timedelta(seconds=60)
LONGEST = 160
MOST_NAMED = 5
_UNENDED = (Reconciliation.State.WAITING, Reconciliation.State.RUNNING)
_VARIANTS = {
    "waiting": "info",
    "running": "info",
    "done": "success",
    "cancelled": "warning",
    "broken_off": "warning",
    "failed": "danger",
    "lost": "danger",
}


@dataclass(frozen=True)
class Item:
    """A background job as the console shows it."""

    key: str
    kind: str
    about: str
    who: str
    href: str
    state: str
    state_name: str
    pace: Pace
    begun_at: datetime
    finished_at: datetime | None
    #: The part that is done, from 0 to 1, of a job without a known total.
    share: float | None = None
    outcome: str = ""
    error: str = ""
    #: Whether the job is done, and found something wrong.
    is_wrong: bool = False
    #: The progress in words, if they say more than the pace.
    words: str = ""

    @property
    def variant(self) -> str:
        if self.is_wrong:
            return "warning"
        return _VARIANTS.get(self.state, "info")

    @property
    def percent(self) -> int | None:
        if self.share is not None:
            return int(100 * self.share)
        return self.pace.percent

    @property
    def progress(self) -> str:
        """Such as "1,200 of 5,000, 24 %, 310/s, 12 s left"."""
        if self.words:
            return self.words
        if self.share is None:
            return str(self.pace)
        about = f"about {self.percent} %" if self.share else ""
        return ", ".join(
            part for part in (f"{self.pace.counted} compared", about, self.pace.speed) if part
        )


def running(now: datetime, user: User) -> list[Item]:
    """Return the unfinished jobs that the user may see, newest first; one query for each kind."""
    found = _items(now, user, are_over=False)
    return sorted(found, key=lambda item: item.begun_at, reverse=True)


def finished(now: datetime, user: User) -> list[Item]:
    """Return the latest finished jobs that the user may see."""
    found = _items(now, user, are_over=True)
    return sorted(found, key=lambda item: item.finished_at or item.begun_at, reverse=True)[:MOST]


def _items(now: datetime, user: User, *, are_over: bool) -> list[Item]:
    comparisons = Reconciliation.objects.select_related("listener").defer("cursor")
    mirror_runs = MirrorRun.objects.select_related("mirror")
    kinds: tuple[tuple[str, Any, Any], ...] = (
        ("handlers.view_redelivery", Redelivery.objects.all(), Redelivery.UNENDED),
        ("audit.view_reconciliation", comparisons, _UNENDED),
        ("mirror.view_mirrorrun", mirror_runs, MirrorRun.UNENDED),
        ("audit.view_work", Work.objects.all(), (Work.State.RUNNING,)),
    )
    found: list[Item] = []
    for permission, rows, unended in kinds:
        if user.has_perm(permission):
            last = rows.exclude(state__in=unended) if are_over else rows.filter(state__in=unended)
            found += [item_of(row, now) for row in last[:MOST]]
    return found


def item_of(row: Redelivery | Reconciliation | MirrorRun | Work, now: datetime) -> Item:
    match row:
        case Redelivery():
            return _of_redelivery(row, now)
        case Reconciliation():
            return _of_comparison(row, now)
        case MirrorRun():
            return _of_mirror_run(row, now)
        case Work():
            return _of_work(row, now)


def _of_redelivery(row: Redelivery, now: datetime) -> Item:
    return Item(
        key=f"redelivery-{row.pk}",
        kind="Redelivery",
        about=_shown(row.criteria),
        who=row.requested_by,
        href=reverse("admin:handlers_redelivery_change", args=[row.pk]),
        state=row.state,
        state_name=row.get_state_display(),
        pace=Pace.since(row.started_at, row.finished_at or now, row.done, Total(row.total)),
        begun_at=row.requested_at,
        finished_at=row.finished_at,
        outcome=f"{row.count:,} redelivered",
        error=row.error,
    )


def _of_comparison(row: Reconciliation, now: datetime) -> Item:
    return Item(
        key=f"comparison-{row.pk}",
        kind="Reconciliation",
        about=f"{row.listener.name}: {row.entity_name or 'every entity'}",
        who=row.requested_by or row.get_reason_display(),
        href=reverse("admin:audit_reconciliation_change", args=[row.pk]),
        state=row.state,
        state_name=row.get_state_display(),
        pace=Pace.since(row.started_at, row.finished_at or now, row.compared, Total(None)),
        begun_at=row.created_at,
        finished_at=row.finished_at,
        share=row.share,
        outcome=_outcome(row),
        error=row.error,
    )


def _outcome(row: Reconciliation) -> str:
    """Return the result, such as "20 compared, 3 missing, 5 known in part"."""
    compared = [f"{row.compared:,} compared", f"{row.added:,} missing"]
    if row.known_in_part:
        compared.append(f"{row.known_in_part:,} known in part")
    looked_up = f"{row.looked_up:,} looked up by id, {row.deletions_added:,} missing deletions"
    return "; ".join([", ".join(compared), *([looked_up] if row.looked_up else [])])


def _of_mirror_run(row: MirrorRun, now: datetime) -> Item:
    return Item(
        key=f"mirror-run-{row.pk}",
        kind=row.title,
        about=row.mirror.model,
        who=row.requested_by or "Schedule",
        href=reverse("admin:mirror_mirror_change", args=[row.mirror_id]),
        state=row.state,
        state_name=row.get_state_display(),
        pace=pace_of(row, now),
        begun_at=row.started_at or row.created_at,
        finished_at=row.finished_at,
        outcome=result_of(row),
        error="" if row.error in row.waits_for else row.error,  # the progress has it
        words=progress_of(row, now),
        is_wrong=row.state == MirrorRun.State.DONE and row.is_right is False,
    )


def _of_work(row: Work, now: datetime) -> Item:
    silent = not row.is_over and now - row.seen_at > SILENT
    total = Total(row.done) if row.state == Work.State.DONE else Total(row.total, row.is_estimate)
    return Item(
        key=f"work-{row.pk}",
        kind=row.get_kind_display(),
        about=_asked(row),
        who=row.who,
        href=reverse("admin:audit_work_change", args=[row.pk]),
        state="lost" if silent else row.state,
        state_name=f"No progress since {row.seen_at:%H:%M:%S}"
        if silent
        else row.get_state_display(),
        pace=Pace.since(row.started_at, row.finished_at or row.seen_at, row.done, total),
        begun_at=row.started_at,
        finished_at=row.finished_at,
        outcome=_shown(row.outcome) or f"{row.done:,} rows",
        error=row.error,
    )


def _asked(row: Work) -> str:
    match row.criteria:
        case {"older_than_days": days}:
            return f"older than {days} days"
        case {"format": form, "filter": wanted, "sensitive": reveals}:
            found = _shown(wanted) or "everything"
            return f"{form}, {found}{', with sensitive values' if reveals else ''}"
        case other:
            return _shown(other)


def _shown(facts: dict[str, Any]) -> str:
    """Return the parameters or the results of a job in a few words."""
    parts = [f"{name.replace('_', ' ')}: {_value(value)}" for name, value in facts.items()]
    return Truncator(", ".join(parts)).chars(LONGEST)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict():
            return _shown(value) or "none"
        case list():
            return f"{len(value):,}" if len(value) > MOST_NAMED else " ".join(map(str, value))
        case _:
            return str(value)
