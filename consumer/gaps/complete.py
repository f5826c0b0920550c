"""Complete gap events: claim them, read their records over REST, record the changes with data, and
release the waiting deliveries.

A crash anywhere only repeats work: claimed gap entries are due again once the claim expires, and
completed ones are not claimed again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from time import time_ns

import structlog
from django.db import DataError, transaction
from django.db.models import F

from audit.db.retry import describe
from audit.log.record import record
from audit.models import AuditLogEntry, DirtyRecord
from consumer.gaps import plan
from consumer.reconciliation.salesforce_rows import rows_of
from handlers import tracing
from handlers.listener_rest_client import CANNOT_READ, rest_of
from handlers.ordering.read_records import release_gaps
from handlers.outbox import publish
from handlers.sdk.outcomes import storable
from listeners import crash_points
from listeners.backoff import Backoff
from listeners.clock import database_clock
from listeners.models import Listener, Position
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.answers import is_about_records
from listeners.salesforce.rest.client import MAX_IDS, RestClient
from listeners.salesforce.rest.records import RecordsRead, event_body, last_modified_ms, long_id

log = structlog.get_logger(__name__)

Policy = Listener.GapPolicy

#: Gap entries in one transaction. The stream cannot record during it.
ROWS = 200
#: The size of a page that is read again after a failure: a single record may be the reason.
SMALL_PAGE = 200
#: Seconds after which a task returns the remaining gap entries to other tasks.
BUDGET = 120.0
_BACKOFF, _REFUSED_BACKOFF = Backoff(10.0, 600.0), Backoff(10.0, 3600.0)

GONE = "the record was deleted before it could be read"
UNPROVEN = (
    "Salesforce does not show the record: it was deleted permanently, or the login's user may not "
    "see it"
)
RECORDED_ONLY = "the listener's gap_policy is to record only"
RECORDED_BEFORE = "the change itself was recorded before"


def complete(listener_id: int, *, budget: float = BUDGET) -> int:
    """Complete the claimed gap entries of a listener, or else those that are due; return how many.

    Entries that are left after `budget` seconds are given back. Never inside a transaction.
    """
    listener = Listener.objects.select_related("connection").filter(pk=listener_id).first()
    if listener is None:
        return 0
    if not plan.claimed(listener_id).exists():
        plan.claim(listener_id, database_clock.now())
    org = _Org(listener)
    ended, end = 0, time.monotonic() + budget
    while (rows := _take(listener_id)) is not None:
        ended += _complete(org, rows)
        if time.monotonic() >= end:
            plan.release(listener_id)
    return ended


class _Org:
    """A listener, and the REST client of its org."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    @cached_property
    def client(self) -> RestClient:
        """The REST client, made for the first read. Raises one of CANNOT_READ."""
        return rest_of(self.listener)


def _take(listener_id: int) -> list[DirtyRecord] | None:
    """Claim the next page: gap entries of one entity; None if there is none. The attempt is counted
    here, so that a crash counts too."""
    claimed = plan.claimed(listener_id)
    first = claimed.order_by("pk").first()
    if first is None:
        return None
    rows = list(claimed.filter(entity_name=first.entity_name).order_by("pk")[:MAX_IDS])
    size = SMALL_PAGE if any(row.attempts for row in rows) else MAX_IDS
    ids = [row.pk for row in rows[:size]]
    until = database_clock.now() + plan.CLAIM
    claimed.filter(pk__in=ids).update(
        claimed_until=until, is_begun=True, attempts=F("attempts") + 1
    )
    won = DirtyRecord.objects.filter(pk__in=ids, claimed_until=until)
    return list(won.select_related("entry").order_by("pk"))


def _complete(org: _Org, rows: Sequence[DirtyRecord]) -> int:
    if not rows:  # another task has claimed them
        return 0
    listener, entity = org.listener, rows[0].entity_name
    if listener.gap_policy != Policy.FETCH:
        return _add(listener, rows, None)
    unread = [row for row in rows if row.entry.change_type != "GAP_DELETE"]
    try:
        ids = list(dict.fromkeys(row.entry.record_id for row in unread))
        read = org.client.read_many(entity, ids) if ids else RecordsRead(0)
        absent = [key for key in ids if key not in read.records and key not in read.refused]
        deleted = _in_recycle_bin(org.client, entity, absent)
    except CANNOT_READ as error:
        _postpone(unread, str(error), _BACKOFF)
        gap_deletes = [row for row in rows if row.entry.change_type == "GAP_DELETE"]
        return _add(listener, gap_deletes, RecordsRead(0))
    crash_points.reach("read")
    refused = [row for row in unread if row.entry.record_id in read.refused]
    if refused:
        reason = read.refused[refused[0].entry.record_id]
        _postpone(refused, str(reason), _REFUSED_BACKOFF)
    left = [row for row in rows if row not in refused]
    log.info("records read", listener=listener.name, entity=entity, records=len(read.records))
    return _add(listener, left, read, deleted)


def _in_recycle_bin(rest: RestClient, entity: str, ids: Sequence[str]) -> set[str]:
    """Return those of the records that are in the Recycle Bin, as far as Salesforce says so: the
    records of some entities cannot be deleted. Raises what RestClient raises."""
    try:
        found = [row for page in rows_of(rest, entity, ids) for row in page]
    except RestRefused as refusal:
        if not is_about_records(refusal):
            raise
        return set()
    return {long_id(row.record_id) for row in found if row.is_deleted}


def _add(
    listener: Listener,
    rows: Sequence[DirtyRecord],
    read: RecordsRead | None,
    deleted: Collection[str] = (),
) -> int:
    """Complete the rows in transactions of up to ROWS; return how many. `read` is None where the
    rows are released without data; `deleted` are records that are known to be deleted."""
    return sum(
        _add_some(listener, rows[start : start + ROWS], read, deleted)
        for start in range(0, len(rows), ROWS)
    )


def _add_some(
    listener: Listener,
    rows: Sequence[DirtyRecord],
    read: RecordsRead | None,
    deleted: Collection[str],
) -> int:
    """Complete some rows; return how many. A row that the database refuses is postponed, and the
    others are completed."""
    try:
        return _add_whole(listener, rows, read, deleted)
    except (DataError, UnicodeError) as error:
        if len(rows) == 1:
            reason = f"the database refused what was read: {describe(error)}"
            _postpone(rows, reason, _REFUSED_BACKOFF)
            return 0
    half = len(rows) // 2
    return sum(_add_some(listener, part, read, deleted) for part in (rows[:half], rows[half:]))


def _add_whole(
    listener: Listener,
    rows: Sequence[DirtyRecord],
    read: RecordsRead | None,
    deleted: Collection[str],
) -> int:
    now, ids = database_clock.now(), [row.pk for row in rows]
    began = time_ns()
    with transaction.atomic(durable=True):
        Position.objects.lock_listener(listener.pk)
        # If the claim has expired, another task may have completed (and deleted) some rows.
        left = DirtyRecord.objects.filter(pk__in=ids).select_related("entry").order_by("pk")
        incomplete = [row.entry for row in left]
        ends: dict[int, AuditLogEntry | str]
        if read is not None:
            ends = _completed(incomplete, read, deleted, now)
        else:
            delivers = listener.gap_policy == Policy.DELIVER
            ends = {entry.pk: entry if delivers else RECORDED_ONLY for entry in incomplete}
        ready = release_gaps(ends, now)
        DirtyRecord.objects.filter(pk__in=list(ends)).delete()
        unproven = [entry.record_id for entry in incomplete if ends[entry.pk] == UNPROVEN]
        plan.note_unproven(listener.pk, rows[0].entity_name, unproven)
        plan.note_progress(listener, rows[0].entity_name, now)
        crash_points.reach("added")
    if read is not None:
        _trace(listener, incomplete, ends, began)
    publish.publish_or_leave(ready, now)
    return len(ends)


def _trace(
    listener: Listener,
    gap_entries: Sequence[AuditLogEntry],
    ends: Mapping[int, AuditLogEntry | str],
    began: int,
) -> None:
    if tracing.spans is not None:
        pairs = [(ends[gap.pk], gap) for gap in gap_entries]
        gap_of = {entry: gap for entry, gap in pairs if isinstance(entry, AuditLogEntry)}
        completed = {entry.pk: gap for entry, gap in gap_of.items()}
        tracing.spans.recorded(listener.name, list(gap_of), began, completed)


def _completed(
    entries: Sequence[AuditLogEntry], read: RecordsRead, deleted: Collection[str], now: datetime
) -> dict[int, AuditLogEntry | str]:
    """Record the changes with data; return for each gap entry its change, or why there is none."""
    completed = {entry.pk: _with_data(entry, read, now) for entry in entries}
    record([entry for entry in completed.values() if entry is not None])
    why_absent = {
        entry.pk: GONE if long_id(entry.record_id) in deleted else UNPROVEN for entry in entries
    }
    return {
        gap_id: why_absent[gap_id] if entry is None else entry if entry.pk else RECORDED_BEFORE
        for gap_id, entry in completed.items()
    }


def _with_data(gap: AuditLogEntry, read: RecordsRead, now: datetime) -> AuditLogEntry | None:
    """Return the change that a gap event stands for, with the record as read; None if Salesforce
    does not show the record.

    The change keeps the gap event's replay id, which is its place in the stream.
    """
    change_type = gap.change_type.removeprefix("GAP_")
    found = read.records.get(gap.record_id)
    if found is None and change_type != "DELETE":
        return None
    change = AuditLogEntry(
        listener_id=gap.listener_id,
        channel=gap.channel,
        entity_name=gap.entity_name,
        record_id=gap.record_id,
        change_type=change_type,
        change_origin=gap.change_origin,
        transaction_key=gap.transaction_key,
        sequence_number=gap.sequence_number,
        commit_timestamp=gap.commit_timestamp,
        commit_number=gap.commit_number,
        commit_user=gap.commit_user,
        replay_id=gap.replay_id,
        event_uuid=gap.event_uuid,
        source=AuditLogEntry.Source.GAP,
        received_at=now,
    )
    if found is not None and change_type != "DELETE":
        change.changed_data = event_body(found, change_type)
        # A record without its own time is at least as new as the gap event.
        change.as_of = last_modified_ms(found) or gap.commit_timestamp
        change.read_at = read.read_at
    return change


def _postpone(rows: Sequence[DirtyRecord], error: str, backoff: Backoff) -> None:
    """Schedule the next attempt for all rows at the same time, so that they are read together."""
    if not rows:
        return
    delay = backoff.delay(max(row.attempts for row in rows))
    due = database_clock.now() + timedelta(seconds=delay)
    entity, claimed_until = rows[0].entity_name, rows[0].claimed_until
    ids = [row.pk for row in rows]
    DirtyRecord.objects.filter(pk__in=ids, claimed_until=claimed_until).update(
        due_at=due, error=storable(error), claimed_until=None, is_begun=False
    )
    log.warning("reading records failed", entity=entity, records=len(rows), reason=error)
    plan.write_progress(rows[0].listener_id, entity)
