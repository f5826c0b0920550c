"""Applies deletions that a comparison found, if there are not suspiciously many.

A user who has lost access to records sees neither them nor that they exist: the same as if they
were deleted. Many missing records must therefore be confirmed by an operator.
"""

from __future__ import annotations

import time

from listeners.salesforce.rest.client import MAX_IDS
from mirror.problems import REFUSED
from mirror.verify import confirm
from mirror.verify.compare import IS_DELETED
from mirror.verify.session import Session

#: More deletions than this, and than this part of all rows, are applied only on request.
MANY, PART = 100, 0.05
#: As few, if no record is left.
ALL = 20


def apply(session: Session) -> None:
    """Mark rows of records that Salesforce does not have, or has in the Recycle Bin, as deleted.

    Each record is read again before. Never inside a transaction.
    """
    gone = session.mirror.differences.filter(
        repaired_at=None, field=IS_DELETED, here=False, there=True
    )
    number = gone.values("record_id").distinct().count()
    if not number:
        session.counts[REFUSED] = 0
        return
    if _is_suspicious(session, number):
        session.counts[REFUSED] = number
        return
    session.counts[REFUSED] = 0
    after = ""
    while True:
        rows = gone.filter(record_id__gt=after).order_by("record_id")
        ids = list(rows.values_list("record_id", flat=True).distinct()[:MAX_IDS])
        if not ids:
            return
        _apply(session, ids)
        after = ids[-1]
        session.keep()


def _apply(session: Session, ids: list[str]) -> None:
    """Apply deletions; rows that were written in the seconds before the read are read again."""
    left = ids
    for attempt in range(confirm.READS):
        if attempt:
            session.keep()
            time.sleep(confirm.PAUSE)
        checked = session.comparison.check(left)
        read = checked.read
        absent = [
            record_id
            for record_id in checked.differing
            if record_id not in read.records and record_id not in read.refused
        ]
        session.comparison.writer.write_deleted(absent, read.read_at)
        left = session.mark_equal(left, f"run {session.run.pk}")
        if not left:
            break


def _is_suspicious(session: Session, number: int) -> bool:
    if session.options.get("accept_deletions"):
        return False
    live = session.comparison.here.total().rows
    return (number > MANY and number > PART * live) or (number >= ALL and number >= live)
