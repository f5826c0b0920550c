"""Searches the audit log for changes without data, by entry id.

They have no deliveries to the mirror, or none with the record's fields:

- a gap event makes its record dirty;
- an overflow, a change to every record and an unknown change type request a sweep.

A listener's entries are recorded one batch after the other, so that their ids ascend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from audit.models import AuditLogEntry
from listeners.clock import database_clock
from listeners.salesforce.events import ChangeKind
from listeners.salesforce.rest.records import long_id
from mirror.apply import dirty
from mirror.apply.dirty import Mark, Reason
from mirror.apply.guard import read_time
from mirror.models import Mirror
from mirror.sweeps import request_sweep

#: The longest time between saving a record and committing the change that stands for it.
LONGEST_TRANSACTION = timedelta(hours=1)
#: Entries that one step examines.
ROWS = 2000
_ONE_RECORD = ("CREATE", "UPDATE", "UNDELETE", "DELETE")
_GAPS = ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE")
_ALL_RECORDS = "*"


def last_entry_ids(listener_ids: Sequence[int]) -> dict[int, int]:
    """Return the id of each listener's newest entry."""
    found: dict[int, int] = {}
    for listener_id in listener_ids:
        entries = AuditLogEntry.objects.filter(listener=listener_id).order_by("-id")
        newest = entries.values_list("pk", flat=True).first()
        if newest is not None:
            found[listener_id] = newest
    return found


def without_data(mirror: Mirror) -> QuerySet[AuditLogEntry]:
    """Return the entries after the last search whose changes the mirror's rows lack."""
    found: QuerySet[AuditLogEntry] = AuditLogEntry.objects.filter(
        ~Q(change_type__in=_ONE_RECORD) | Q(record_id__endswith=_ALL_RECORDS),
        listener=mirror.listener_id,
        entity_name=mirror.salesforce_object,
        pk__gt=mirror.scanned_entry_id,
    )
    return found


def advance(mirror: Mirror, last_id: int) -> bool:
    """Store that entries up to `last_id` were searched; return False if another process did. By
    compare-and-swap."""
    mine = Mirror.objects.filter(pk=mirror.pk, scanned_entry_id=mirror.scanned_entry_id)
    return bool(mine.update(scanned_entry_id=last_id))


def scan(mirror: Mirror) -> None:
    """Search the entries since the last search. Never inside a transaction. Raises errors of
    Salesforce, after which the search continues from the same entry."""
    last_id = last_entry_ids([mirror.listener_id]).get(mirror.listener_id, 0)
    while mirror.scanned_entry_id < last_id:
        found = without_data(mirror).filter(pk__lte=last_id)
        entries = list(found.order_by("pk")[:ROWS])
        _mark_gaps(mirror, entries)
        _request_sweeps(mirror, entries)
        until = entries[-1].pk if len(entries) == ROWS else last_id
        if not advance(mirror, until):
            return
        mirror.scanned_entry_id = until


def _mark_gaps(mirror: Mirror, entries: Sequence[AuditLogEntry]) -> None:
    gaps = (
        entry
        for entry in entries
        if entry.change_type in _GAPS and not entry.record_id.endswith(_ALL_RECORDS)
    )
    dirty.mark_all(
        mirror,
        (
            Mark(
                long_id(entry.record_id), entry.commit_timestamp, entry.commit_timestamp, Reason.GAP
            )
            for entry in gaps
        ),
    )


def _request_sweeps(mirror: Mirror, entries: Sequence[AuditLogEntry]) -> None:
    for reason, committed in _sweeps(entries):
        request_sweep(mirror, committed - LONGEST_TRANSACTION, database_clock.now(), reason)


def _sweeps(entries: Sequence[AuditLogEntry]) -> Iterator[tuple[str, datetime]]:
    """Yield the reason and the first commit time of each kind of change without records: 1970 for
    a change to every record, which need not count as the modification of any."""
    first: dict[str, int] = {}
    for entry in entries:
        committed = entry.commit_timestamp
        if entry.record_id.endswith(_ALL_RECORDS):
            reason, committed = "a change to every record", 0
        elif entry.change_type == ChangeKind.GAP_OVERFLOW:
            reason = "an overflow"
        elif entry.change_type not in (*_ONE_RECORD, *_GAPS):
            reason = f"a change of the unknown type {entry.change_type[:50]}"
        else:
            continue
        first[reason] = min(first.get(reason, committed), committed)
    for reason, moment in first.items():
        yield reason, read_time(moment)
