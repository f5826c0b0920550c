"""The records of a mirror that are to be read from Salesforce: mark, claim, clear.

A mark's `since` is compared and swapped: events move it forward while a worker reads the record,
and then the mark stays. All due times and claims are by the database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import QuerySet

from audit.jobs.claim import unclaimed
from handlers.sdk.outcomes import storable
from listeners.backoff import Backoff
from listeners.clock import database_clock
from mirror.apply.guard import MARGIN
from mirror.apply.row_page import by_bytes
from mirror.models import DirtyRow, Mirror

Reason = DirtyRow.Reason

#: A record is read when this time has passed: MARGIN, and the error of the time of a read, which is
#: known in whole seconds and less the time that the request takes.
DELAY = timedelta(seconds=4)
MARGIN_MS = MARGIN // timedelta(milliseconds=1)
#: How long a worker's claim on records lasts.
CLAIM = timedelta(seconds=30)
#: Delays in seconds between attempts to read a record that Salesforce refuses.
BACKOFF = Backoff(5.0, 3600.0, jitter=0.5)
_ROWS = 500

_MARK = """
INSERT INTO mirror_dirtyrow
(mirror_id, record_id, since, complete_until, reason, attempts, error, due_at)
VALUES (%s, %s, %s, %s, %s, 0, %s, %s)
ON CONFLICT (mirror_id, record_id) DO UPDATE SET
since = CASE WHEN excluded.since > mirror_dirtyrow.since
    THEN excluded.since ELSE mirror_dirtyrow.since END,
complete_until = CASE WHEN excluded.complete_until < mirror_dirtyrow.complete_until
    THEN excluded.complete_until ELSE mirror_dirtyrow.complete_until END,
error = CASE WHEN excluded.error <> '' THEN excluded.error ELSE mirror_dirtyrow.error END
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A record to read by a read that begins after `since`, in ms since 1970. Its row has every
    change that was committed before `complete_until`, in ms too."""

    record_id: str
    since: int
    complete_until: int
    reason: str
    error: str = ""


def mark(
    mirror: Mirror, since: Mapping[str, int], reason: str, *, complete_until: int | None = None
) -> None:
    """Mark records to be read by a read that begins after `since`, in ms since 1970, by id. Inside
    any transaction.

    `complete_until` is the time before which no change is missing in any of the rows, if that may
    be longer ago than the error of a time.
    """
    known = {key: moment - MARGIN_MS for key, moment in since.items()}
    if complete_until is not None:
        known = {key: min(moment, complete_until) for key, moment in known.items()}
    mark_all(mirror, (Mark(key, moment, known[key], reason) for key, moment in since.items()))


def mark_all(mirror: Mirror, marks: Iterable[Mark]) -> None:
    """Mark records to be read. A mark that exists only moves its `since` forward. Inside any
    transaction."""
    ordered = sorted(marks, key=lambda one: one.record_id)
    if not ordered:
        return
    due_at = connection.ops.adapt_datetimefield_value(database_clock.now() + DELAY)
    rows = [
        (mirror.pk, one.record_id, one.since, one.complete_until, one.reason, one.error, due_at)
        for one in ordered
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(_MARK, rows)


def marked_among(mirror: Mirror, ids: Collection[str]) -> set[str]:
    """Return those of the records that are to be read."""
    found = DirtyRow.objects.filter(mirror=mirror, record_id__in=list(ids))
    return set(found.values_list("record_id", flat=True))


def due(now: datetime) -> QuerySet[DirtyRow]:
    """Return the marks whose records can be read now, and that no worker has claimed."""
    found: QuerySet[DirtyRow] = DirtyRow.objects.filter(unclaimed(now), due_at__lte=now)
    return found


def claim(mirror: Mirror, now: datetime, limit: int) -> list[DirtyRow]:
    """Claim due marks of a mirror, the oldest first. By compare-and-swap. Inside no transaction."""
    until = now + CLAIM
    page = due(now).filter(mirror=mirror).order_by("due_at", "pk")
    ids = list(page.values_list("pk", flat=True)[:limit])
    mine = DirtyRow.objects.filter(unclaimed(now), pk__in=ids)
    if not mine.update(claimed_until=until):
        return []
    return list(DirtyRow.objects.filter(pk__in=ids, claimed_until=until).order_by("record_id"))


def clear(marks: Iterable[DirtyRow]) -> list[DirtyRow]:
    """Delete the marks whose `since` did not move; return those that are gone. Inside any
    transaction."""
    gone: list[DirtyRow] = []
    rows, order = list(marks), by_bytes(DEFAULT_DB_ALIAS, "record_id")
    with transaction.atomic():
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            held = DirtyRow.objects.filter(pk__in=[row.pk for row in part]).select_for_update()
            since_of = dict(held.order_by(order).values_list("pk", "since"))
            ended = [row for row in part if since_of.get(row.pk) == row.since]
            DirtyRow.objects.filter(pk__in=[row.pk for row in ended]).delete()
            gone += ended
    return gone


def release(marks: Collection[DirtyRow], due_at: datetime, *, error: str = "") -> None:
    """Give marks back, to be read after `due_at`. Inside any transaction."""
    _mine(marks).update(claimed_until=None, due_at=due_at, error=storable(error), attempts=0)


def hold(mirror: Mirror, now: datetime, until: datetime, reason: str) -> int:
    """Put off reading the mirror's due records; return how many. Inside any transaction."""
    held = due(now).filter(mirror=mirror)
    return held.update(due_at=until, error=storable(reason))


def note_read(marks: Collection[DirtyRow], complete_until: int) -> None:
    """Note that the rows of marks that moved while the records were read have what was committed
    before that time, in ms since 1970. Inside any transaction."""
    _mine(marks).filter(complete_until__lt=complete_until).update(complete_until=complete_until)


def postpone(rows: Iterable[tuple[DirtyRow, str]], now: datetime) -> None:
    """Give marks back whose reading failed, each with the error. Inside any transaction."""
    for row, error in rows:
        delay = BACKOFF.delay(row.attempts + 1)
        _mine([row]).update(
            claimed_until=None,
            attempts=row.attempts + 1,
            error=storable(error),
            due_at=now + timedelta(seconds=delay),
        )


def _mine(marks: Collection[DirtyRow]) -> QuerySet[DirtyRow]:
    """Select the marks that this process has still claimed."""
    ids, claims = [row.pk for row in marks], {row.claimed_until for row in marks}
    found: QuerySet[DirtyRow] = DirtyRow.objects.filter(pk__in=ids, claimed_until__in=claims)
    return found
