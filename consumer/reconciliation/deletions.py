"""Find records that the audit log says exist and that Salesforce no longer has.

A record that was deleted for good leaves no row that a query shows, and may have left no event. So
the records of the log are looked up by id, a slice of the log after the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from django.db.models import Max

from audit.models import AuditLogEntry
from consumer.reconciliation.backfill import Supplier
from consumer.reconciliation.caught_up import is_receiving
from consumer.reconciliation.evidence import CHUNK, DELETES
from consumer.reconciliation.salesforce_rows import ON_ITS_WAY, Row, rows_of
from listeners import crash_points
from listeners.models import Listener
from listeners.salesforce.rest.client import MAX_IDS

#: Entries of the log in one slice.
SLICE = 4_000
_RECORD_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
#: Characters of an id without its checksum.
_SHORT = 15


#: An operator is asked where so many records, and more than this part of those that were looked up,
#: are not there. A user who lost a permission sees a part of the records, or none.
MANY, PART = 100, 0.1
#: The same where so many are not there, and not one that is.
ALL = 20


class ManyGone(Exception):
    """Many of the records are not in Salesforce. Look for the reason, then accept the deletions."""

    def __init__(self, entity: str, gone: int, looked_up: int) -> None:
        super().__init__(
            f"{gone:,} of {looked_up:,} records that the audit log says exist are not in "
            "Salesforce. Perhaps the login's user may not see them any more, or the connection "
            "leads to another org; so their deletion is not recorded. If they were deleted, run "
            f"manage.py reconcile_cdc --entity {entity} --accept-deletions"
        )


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What slices of the log told: how many records were looked up, how many of them are neither
    there nor in the Recycle Bin, how many deletions were missing, and the entry to go on behind;
    None at the log's end."""

    records: int = 0
    gone: int = 0
    deleted: int = 0
    go_on_behind: int | None = None


def look_up(
    supplier: Supplier, behind: int, until: int | None, counted: LookedUp | None
) -> LookedUp:
    """Look up the records whose newest entry is in the next slice behind an entry.

    Without `counted`, those that are gone are only counted, unless nobody is to be asked about
    them. With it they are recorded; it has their number so far, and that of all records looked up.
    Records that were moved to the Recycle Bin at `until` or later are left alone. Never inside a
    transaction. Raises ManyGone and what RestClient raises.
    """
    listener, entity = supplier.job.listener, supplier.entity
    found, end = _existing_by_log(listener, entity, behind)
    ids = sorted(found)
    absent: set[str] = set()
    for start in range(0, len(ids), MAX_IDS):
        absent |= supplier.rest.absent(entity, ids[start : start + MAX_IDS])
    if not absent:
        return LookedUp(len(ids), go_on_behind=end)
    there = _in_recycle_bin(supplier, sorted(absent))
    gone = len(absent) - len(there)
    if counted is not None:
        doubt(supplier, counted.gone + gone, counted.records)
    elif supplier.is_cautious:
        absent = set(there)
    stamps = _stamps(found, sorted(absent), there, until)
    return LookedUp(len(ids), gone, _record_deletions(supplier, stamps), end)


def _existing_by_log(
    listener: Listener, entity: str, behind: int
) -> tuple[dict[str, int], int | None]:
    """The records of a slice, each with the commit of its newest entry, in ms; and the slice's
    last entry."""
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
        some = entries.filter(record_id__in=candidates[start : start + CHUNK]).order_by()
        newest |= dict(
            some.values("record_id").annotate(Max("id")).values_list("record_id", "id__max")
        )
    # A record with a newer entry is looked up with the slice that has that one.
    found = {one: last[one][2] for one in candidates if newest.get(one) == last[one][0]}
    return found, slice_[-1][0] if len(slice_) == SLICE else None


def _in_recycle_bin(supplier: Supplier, absent: Sequence[str]) -> dict[str, Row]:
    """The rows of those of the absent records that have one: they are in the Recycle Bin, or are
    there again."""
    if is_receiving(supplier.job.listener_id):
        time.sleep(ON_ITS_WAY / 1000)  # the stream may be about to bring the deletions
    pages = rows_of(supplier.rest, supplier.entity, absent)
    rows = {row.record_id[:_SHORT]: row for page in pages for row in page}
    return {one: rows[one[:_SHORT]] for one in absent if one[:_SHORT] in rows}


def doubt(supplier: Supplier, gone: int, looked_up: int) -> None:
    """Raise ManyGone where an operator has to say that so many records were deleted."""
    is_part = gone >= MANY and gone > PART * looked_up
    is_all = gone >= ALL and gone == looked_up
    if supplier.is_cautious and (is_part or is_all):
        raise ManyGone(supplier.entity, gone, looked_up)


def _record_deletions(supplier: Supplier, stamps: Sequence[tuple[str, int]]) -> int:
    if not stamps:
        return 0
    crash_points.reach("read")
    return sum(
        _record_some(supplier, dict(stamps[start : start + CHUNK]))
        for start in range(0, len(stamps), CHUNK)
    )


def _stamps(
    commits: dict[str, int], absent: Sequence[str], there: dict[str, Row], until: int | None
) -> list[tuple[str, int]]:
    """The deleted ones of the absent records, and when: those that the Recycle Bin does not have
    were deleted for good some time before now."""
    now = round(time.time() * 1000)
    found: list[tuple[str, int]] = []
    for record_id in absent:
        row = there.get(record_id)
        if row is None:
            found.append((record_id, max(now, commits[record_id] + 1)))
        elif row.is_deleted and (until is None or row.stamp < until):
            found.append((record_id, row.stamp))
    return sorted(found, key=itemgetter(1))


def _record_some(supplier: Supplier, stamps: dict[str, int]) -> int:
    """In one transaction, those whose deletion the log still lacks."""

    def choose() -> list[AuditLogEntry]:
        left = _existing_still(supplier.job.listener, supplier.entity, list(stamps))
        return [
            supplier.entry(record_id, "DELETE", stamp)
            for record_id, stamp in stamps.items()
            if record_id in left
        ]

    return supplier.record(choose)


def _existing_still(listener: Listener, entity: str, ids: Sequence[str]) -> set[str]:
    entries = AuditLogEntry.objects.filter(listener=listener, entity_name=entity, record_id__in=ids)
    latest = dict(entries.order_by("id").values_list("record_id", "change_type"))
    return {record_id for record_id, kind in latest.items() if kind not in DELETES}
