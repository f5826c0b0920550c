"""Requests the verifications, refreshes of formulas and schema checks that are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from mirror import runs
from mirror.models import DirtyRow, Mirror, MirrorRun
from mirror.schema_changes import last_added, to_compare
from mirror.verify.run import COUNTS, FULL, SAMPLE

Kind = MirrorRun.Kind
#: How often, and how deep. Every hour only counts, since an id sweep costs a request for each 2,000
#: records; then once a day a sample.
EVERY: Mapping[str, timedelta] = {
    Mirror.Verify.HOURLY: timedelta(hours=1),
    Mirror.Verify.DAILY: timedelta(days=1),
    Mirror.Verify.WEEKLY: timedelta(days=7),
}
DEPTHS: Mapping[str, str] = {
    Mirror.Verify.HOURLY: COUNTS,
    Mirror.Verify.DAILY: SAMPLE,
    Mirror.Verify.WEEKLY: FULL,
}
FORMULAS, SCHEMA, SAMPLED = timedelta(hours=6), timedelta(hours=1), timedelta(days=1)
#: After an event with an unknown field, the description is read again, but not more often.
_UNKNOWN_FIELD = timedelta(minutes=2)


def request_due(now: datetime) -> list[int]:
    """Request what is due, and return the runs to send. Never inside a transaction."""
    found = []
    for mirror in Mirror.objects.filter(phase=Mirror.Phase.IN_SYNC):
        for kind, options in _due(mirror, now):
            with transaction.atomic(durable=True):
                run, is_new = runs.request(mirror, kind, now, options=options)
            if is_new:
                found.append(run.pk)
    return found


def start_due(now: datetime) -> int:
    """Request what is due, and send it to the workers; return how many. Never inside a
    transaction."""
    return sum(runs.send(pk) for pk in request_due(now))


def _due(mirror: Mirror, now: datetime) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    if _must_load(mirror):
        found.append((Kind.LOAD, {"reason": "new fields"}))
    if names := to_compare(mirror):
        if not _was_compared(mirror, names, now - SCHEMA):
            found.append((Kind.VERIFY, {"depth": FULL, "fields": names}))
    elif depth := _depth(mirror, now):
        found.append((Kind.VERIFY, {"depth": depth}))
    if _is_old(mirror.formulas_refreshed_at or mirror.in_sync_since, FORMULAS, now):
        if not _was_requested(mirror, Kind.FORMULAS, now - SCHEMA):
            found.append((Kind.FORMULAS, {}))
    elif _is_old(mirror.described_at, SCHEMA, now) or _has_unknown_field(mirror, now):
        found.append((Kind.FORMULAS, {"schema_only": True}))
    return found


def _must_load(mirror: Mirror) -> bool:
    """Return whether fields were added and no load was requested that reads them: one that had
    begun before may not."""
    if (at := last_added(mirror)) is None:
        return False
    begun_later = Q(created_at__gte=at) | Q(started_at__gte=at) | Q(state__in=MirrorRun.UNENDED)
    return not mirror.runs.filter(begun_later, kind=Kind.LOAD).exists()


def _depth(mirror: Mirror, now: datetime) -> str | None:
    """Return how deep the mirror is to be verified now; None: not at all."""
    every = EVERY.get(mirror.verify)
    since = mirror.last_verified_at or mirror.in_sync_since
    if every is None or not _is_old(since, every, now):
        return None
    if _was_requested(mirror, Kind.VERIFY, now - min(every, SAMPLED)):
        return None  # it failed: not again before the next time
    depth = DEPTHS[mirror.verify]
    if depth == COUNTS and not _was_sampled(mirror, now):
        return SAMPLE
    return depth


def _was_sampled(mirror: Mirror, now: datetime) -> bool:
    done = mirror.runs.filter(
        kind=Kind.VERIFY, state=MirrorRun.State.DONE, created_at__gte=now - SAMPLED
    )
    sampled = done.filter(options__depth__in=[SAMPLE, FULL], options__fields__isnull=True)
    return bool(sampled.exists())


def _was_requested(mirror: Mirror, kind: str, since: datetime) -> bool:
    return bool(mirror.runs.filter(kind=kind, created_at__gt=since).exists())


def _was_compared(mirror: Mirror, names: Sequence[str], since: datetime) -> bool:
    """Return whether a comparison of these fields was requested since then."""
    recent = mirror.runs.filter(kind=Kind.VERIFY, created_at__gt=since)
    options = recent.values_list("options__fields", flat=True)
    return any(set(names) <= {*(compared or ())} for compared in options)


def _has_unknown_field(mirror: Mirror, now: datetime) -> bool:
    unknown = mirror.dirty_rows.filter(reason=DirtyRow.Reason.FIELD)
    return _is_old(mirror.described_at, _UNKNOWN_FIELD, now) and bool(unknown.exists())


def _is_old(moment: datetime | None, age: timedelta, now: datetime) -> bool:
    return moment is None or moment <= now - age
