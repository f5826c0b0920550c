"""Find records that exist according to the audit log, and no longer exist in Salesforce.

No query shows a permanently deleted record, and its event may be missing. So the records of the log
are looked up by id, one slice of the log after the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from django.db.models import Max

from audit.models import AuditLogEntry
from consumer.reconciliation.backfill import Backfill
from consumer.reconciliation.evidence import CHUNK, DELETES
from consumer.reconciliation.salesforce_rows import ON_ITS_WAY, Row, rows_of
from consumer.reconciliation.schedule import is_receiving
from listeners import crash_points
from listeners.models import Listener
from listeners.salesforce.rest.client import MAX_IDS

#: Entries of the log in one slice.
SLICE = 4_000
_RECORD_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
#: Characters of an id without its checksum.
_SHORT = 15


#: An operator must confirm the deletions if at least MANY records, and more than this PART of those
#: looked up, are missing: a user who lost a permission sees only some records, or none.
MANY, PART = 100, 0.1
#: An operator must also confirm if at least so many records are missing, and none was found.
ALL = 20


class ManyGone(Exception):
    """Many records are not in Salesforce. Find the reason, then accept the deletions."""

    def __init__(self, entity: str, gone: int, looked_up: int) -> None:
        super().__init__(
            f"{gone:,} of {looked_up:,} records that exist according to the audit log are not in "
            "Salesforce. Their deletion is not recorded, since the login's user may have lost "
            "access to them, or the connection may point to another org. If they were deleted, "
            f"run manage.py reconcile_cdc --entity {entity} --accept-deletions"
        )


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The result of looking up slices of the log.

    `records`: records looked up. `gone`: those that neither exist nor are in the Recycle Bin.
    `deleted`: missing deletions. `go_on_behind`: the id of the slice's last entry; None at the
    log's end.
    """

    records: int = 0
    gone: int = 0
    deleted: int = 0
    go_on_behind: int | None = None


def look_up(
    backfill: Backfill, behind: int, until: int | None, counted: LookedUp | None
) -> LookedUp:
    """Look up the records whose newest entry is in the slice after the entry `behind`.

    Without `counted`, records that are gone are only counted, unless no confirmation is needed.
    With it they are recorded; it has the number of gone records so far, and of all records looked
    up. Records moved to the Recycle Bin at `until` or later are ignored. Never inside a
    transaction. Raises ManyGone and what RestClient raises.
    """
    listener, entity = backfill.job.listener, backfill.entity
    found, end = _existing_by_log(listener, entity, behind)
    ids = sorted(found)
    absent: set[str] = set()
    for start in range(0, len(ids), MAX_IDS):
        absent |= backfill.rest.absent(entity, ids[start : start + MAX_IDS])
    if not absent:
        return LookedUp(len(ids), go_on_behind=end)
    binned = _in_recycle_bin(backfill, sorted(absent))
    gone = len(absent) - len(binned)
    if counted is not None:
        refuse_if_many(backfill, counted.gone + gone, counted.records)
    elif backfill.is_cautious:
        absent = set(binned)
    stamps = _stamps(found, sorted(absent), binned, until)
    return LookedUp(len(ids), gone, _record_deletions(backfill, stamps), end)


def _existing_by_log(
    listener: Listener, entity: str, behind: int
) -> tuple[dict[str, int], int | None]:
    """Return the records of a slice, each with the commit timestamp of its newest entry in ms; and
    the id of the slice's last entry, None at the log's end."""
    entries = AuditLogEntry.objects.filter(listener=listener, entity_name=entity)
    columns = ("id", "record_id", "change_type", "commit_timestamp")
    slice_ = list(entries.filter(id__gt=behind).order_by("id").values_list(*columns)[:SLICE])
    last = {record_id: (pk, kind, commit) for pk, record_id, kind, commit in slice_}
    candidates = [
        record_id
        for record_id, (_, kind, _) in last.items()
        if kind not in DELETES and kind != "GAP_OVERFLOW" and _RECORD_ID.fullmatch(record_id)
    ]
    newest: dict[str, int] = {}
    for start in range(0, len(candidates), CHUNK):
        chunk = entries.filter(record_id__in=candidates[start : start + CHUNK]).order_by()
        newest |= dict(
            chunk.values("record_id").annotate(Max("id")).values_list("record_id", "id__max")
        )
    # A record with a newer entry is looked up with the slice that has the newer entry.
    found = {
        record_id: last[record_id][2]
        for record_id in candidates
        if newest.get(record_id) == last[record_id][0]
    }
    return found, slice_[-1][0] if len(slice_) == SLICE else None


def _in_recycle_bin(backfill: Backfill, absent: Sequence[str]) -> dict[str, Row]:
    """Return the rows of absent records that are in the Recycle Bin, or exist again."""
    if is_receiving(backfill.job.listener_id):
        time.sleep(ON_ITS_WAY / 1000)  # the stream may be about to bring the deletions
    pages = rows_of(backfill.rest, backfill.entity, absent)
    rows = {row.record_id[:_SHORT]: row for page in pages for row in page}
    return {
        record_id: rows[record_id[:_SHORT]] for record_id in absent if record_id[:_SHORT] in rows
    }


def refuse_if_many(backfill: Backfill, gone: int, looked_up: int) -> None:
    """Raise ManyGone if an operator must confirm that so many records were deleted."""
    is_part = gone >= MANY and gone > PART * looked_up
    is_all = gone >= ALL and gone == looked_up
    if backfill.is_cautious and (is_part or is_all):
        raise ManyGone(backfill.entity, gone, looked_up)


def _record_deletions(backfill: Backfill, stamps: Sequence[tuple[str, int]]) -> int:
    if not stamps:
        return 0
    crash_points.reach("read")
    return sum(
        _record_some(backfill, dict(stamps[start : start + CHUNK]))
        for start in range(0, len(stamps), CHUNK)
    )


def _stamps(
    commits: dict[str, int], absent: Sequence[str], binned: dict[str, Row], until: int | None
) -> list[tuple[str, int]]:
    """Return the deleted records, each with the time of its deletion in ms. A record that is not in
    the Recycle Bin was deleted permanently at an unknown time: now is used."""
    now = round(time.time() * 1000)
    found: list[tuple[str, int]] = []
    for record_id in absent:
        row = binned.get(record_id)
        if row is None:
            found.append((record_id, max(now, commits[record_id] + 1)))
        elif row.is_deleted and (until is None or row.stamp < until):
            found.append((record_id, row.stamp))
    return sorted(found, key=itemgetter(1))


def _record_some(backfill: Backfill, stamps: dict[str, int]) -> int:
    """Record, in one transaction, the deletions that the log still lacks; return how many."""

    def choose() -> list[AuditLogEntry]:
        latest = backfill.latest_types(list(stamps))
        return [
            backfill.entry(record_id, "DELETE", stamp)
            for record_id, stamp in stamps.items()
            if latest.get(record_id, "DELETE") not in DELETES
        ]

    return backfill.record(choose)
