"""Applies a batch of changes, each of another record, to the rows of their mirror.

    decode → leave out dirty records → lock the rows → judge → write → mark → release

The rows are committed first, then the marks, and only then do the deliveries succeed. If the
process dies in between, the next attempt judges the changes again; they are not a record's first
attempts any more, so that it reads whatever may be applied already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction

from audit.db.retry import describe
from handlers import EventData, Skipped
from listeners import crash_points
from mirror.apply import dirty, problem, release, upsert
from mirror.apply.change import Change, Reason, decode, is_person_account, merged
from mirror.apply.dirty import Mark
from mirror.apply.guard import Row, Verdict, milliseconds
from mirror.apply.row_page import by_bytes
from mirror.column_holders import columns_for
from mirror.models import Mirror
from mirror.schema.columns import Columns

REMOVED = "its mirror was removed"
#: Tries of a batch whose rows another process inserts at the same time.
_TRIES = 5
_GUARDED = ("version", "synced_at", "is_deleted", "is_complete")


@dataclass(slots=True)
class Decided:
    """The result of judging changes: rows to write, records to read, and entries that are applied.

    Rows have the values of `names_of(columns)`.
    """

    inserted: list[Sequence[Any]] = field(default_factory=list)
    updated: list[Sequence[Any]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)


def apply(events: Sequence[EventData]) -> Skipped | None:
    """Apply the changes of one mirror. Never inside a transaction."""
    found = Mirror.objects.filter(pk=events[0].options.get("mirror")).select_related("listener")
    mirror = found.first()
    if mirror is None:
        return Skipped(REMOVED)
    columns = columns_for(mirror, mirror.described)
    # The times of reads have whole seconds.
    added_at = mirror.created_at.replace(microsecond=0) if mirror.in_sync_since is None else None
    since = {"loaded_from": mirror.load_started_at, "added_at": added_at}
    changes = [decode(columns, event, **since) for event in events]
    marked = dirty.marked_among(mirror, [change.record_id for change in changes])
    moved = [_mark(change) for change in changes if change.record_id in marked]
    decided = _write(mirror, columns, [c for c in changes if c.record_id not in marked])
    crash_points.reach("marking")
    dirty.mark_all(mirror, [*moved, *decided.marks])
    problem.clear_writing(mirror)
    if mirror.in_sync_since is not None:  # else the end of the first load releases, or the relay
        release.release_applied(decided.applied)
    return None


def _mark(change: Change) -> Mark:
    return Mark(change.record_id, change.since, change.since, change.unread or Reason.PARTIAL)


def _write(mirror: Mirror, columns: Columns, changes: Sequence[Change]) -> Decided:
    """Write the rows of the changes. A record whose row the database refuses is to be read."""
    try:
        return _write_together(mirror, columns, changes)
    except upsert.REFUSED as error:
        if len(changes) == 1:
            return Decided(marks=[_refused(changes[0], error)])
    except (DatabaseError, InterfaceError) as error:
        problem.note_writing(mirror, error)
        raise
    half = len(changes) // 2
    first, last = (_write(mirror, columns, part) for part in (changes[:half], changes[half:]))
    return Decided(marks=first.marks + last.marks, applied=first.applied + last.applied)


def _refused(change: Change, error: Exception) -> Mark:
    return Mark(change.record_id, change.since, change.since, Reason.DIFFERENCE, describe(error))


def _write_together(mirror: Mirror, columns: Columns, changes: Sequence[Change]) -> Decided:
    if not changes:
        return Decided()
    for attempt in range(1, _TRIES + 1):
        try:
            with transaction.atomic(using=mirror.database, durable=True):
                decided = decide(columns, changes, _locked(mirror, columns, changes))
                names = names_of(columns)
                rows = (decided.inserted, decided.updated)
                upsert.write_decided(columns, mirror.database, names, *rows)
                crash_points.reach("mirroring")
                return decided
        except upsert.Overtaken:
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def names_of(columns: Columns) -> tuple[str, ...]:
    """Return the attribute names of all columns, the key first."""
    return ("salesforce_id", *_GUARDED, "raw", *columns.columns)


def _locked(
    mirror: Mirror, columns: Columns, changes: Sequence[Change]
) -> dict[str, dict[str, Any]]:
    """Return the rows of the changes' records by id, locked until the transaction ends."""
    names = names_of(columns)
    every = columns.model._base_manager.using(mirror.database)
    found = every.filter(pk__in=[change.record_id for change in changes]).select_for_update()
    rows = found.order_by(by_bytes(mirror.database, "pk")).values_list(*names)
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def decide(
    columns: Columns, changes: Sequence[Change], stored: Mapping[str, Mapping[str, Any]]
) -> Decided:
    """Judge the changes by their rows, and make the new rows. Pure."""
    decided = Decided()
    for change in changes:
        values = stored.get(change.record_id)
        row = None if values is None else Row(*(values[name] for name in _GUARDED))
        verdict = change.judge(row)
        new = None
        if verdict is Verdict.APPLY:
            new = _row(columns, change, values)
        if verdict is Verdict.READ or (verdict is Verdict.APPLY and new is None):
            known = milliseconds(row.synced_at) if row is not None and row.synced_at else 0
            since = max(change.since, known)
            reason = change.reason(row) if verdict is Verdict.READ else _unmerged(columns, values)
            decided.marks.append(Mark(change.record_id, since, change.since, reason))
            new = _placeholder(columns, change) if values is None else None
        else:
            decided.applied.append(change.event.id)
        if new is not None:
            target = decided.inserted if values is None else decided.updated
            target.append([change.record_id, *(new[name] for name in names_of(columns)[1:])])
    return decided


def _unmerged(columns: Columns, stored: Mapping[str, Any] | None) -> Reason:
    """Return why a change that is due could not be put into its row."""
    is_person = stored is not None and is_person_account(columns, stored)
    return Reason.PERSON if is_person else Reason.FIELD


def _row(
    columns: Columns, change: Change, stored: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return the row with the change; None if a value cannot be derived from the event."""
    if change.is_deletion:
        values = dict(stored) if stored else _placeholder(columns, change)
        return values | {"is_deleted": True, "synced_at": change.at}
    new = merged(columns, change, stored)
    if new is None:
        return None
    return new | {
        "version": change.version,
        "synced_at": change.at,
        "is_deleted": False,
        "is_complete": True,
    }


def _placeholder(columns: Columns, change: Change) -> dict[str, Any]:
    """Return the row of a record of which nothing is known yet."""
    empty = {
        name: None if column.null else column.get_default()
        for name, column in columns.columns.items()
    }
    own = {"version": None, "synced_at": None, "is_deleted": change.is_deletion}
    return empty | own | {"is_complete": False, "raw": {}}
