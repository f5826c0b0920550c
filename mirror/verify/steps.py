"""The steps of a verification, cheapest first. Each finds records that seem to differ, and settles
them: confirms, records and repairs."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.models import AuditLogEntry
from listeners.clock import database_clock
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.records import long_id
from mirror.apply.guard import EPOCH
from mirror.models import MirrorRun
from mirror.runs import Later
from mirror.verify import bulk, count_buckets
from mirror.verify.buckets import MOST, Bucket
from mirror.verify.merge import one_sided
from mirror.verify.pages import Ahead, read_pages
from mirror.verify.session import Session

#: The window of changed ids, at most; it ends where changes may still be on their way.
WINDOW, OVERLAP, LAG = timedelta(hours=24), timedelta(minutes=10), timedelta(minutes=2)
#: Records of a sample.
SAMPLE = 2_000
#: Entries of the log looked up in one query.
_LOOKED_UP = 500
#: The key of a run's cursor: the end of the window of changed ids.
_COVERED = "updated_until"
_NO_UPDATES = ("INVALID_REPLICATION_DATE", "EXCEEDED_ID_LIMIT", "INVALID_TYPE_FOR_OPERATION")


def count(session: Session) -> Later | None:
    """Compare counts and the newest modification by bucket of creation time; continues in the next
    slice of time with the buckets that are left."""
    here, there = session.comparison.here, session.comparison.there
    stored = session.cursor.get("buckets")
    if stored is None:
        left = count_buckets.initial(here, there, database_clock.now())
    else:
        left = [Bucket.of_json(bounds) for bounds in stored]
    while left:
        counted, left = left[:MOST], left[MOST:]
        differing = count_buckets.differing(here, there, counted, session.keep)
        left = [*differing, *left]
        for bucket, rows in differing.items():
            left.remove(bucket)
            match count_buckets.narrowed(here, there, bucket, rows):
                case None:
                    session.cursor["by_ids"] = True  # buckets cannot narrow it down
                case (first, last):
                    left += [first, last]
                case ids:
                    session.settle(ids)
            session.cursor["buckets"] = [one.to_json() for one in left]
            session.keep()
            if left and session.claim.is_slice_over:
                return Later()
    session.cursor.pop("buckets", None)
    return None


def updated(session: Session) -> Later | None:
    """Look for ids that Salesforce lists as changed and the audit log does not have."""
    now = database_clock.now()
    since = max(_covered_until(session), now - WINDOW) - OVERLAP
    try:
        ids, covered = session.comparison.there.updated(since, now - LAG)
    except RestRefused as refusal:
        if refusal.error_code not in _NO_UPDATES and refusal.status != 404:
            raise
        return None  # not replicateable, or too many: the other steps find the same
    session.counts["updated"] = len(ids)
    entries = AuditLogEntry.objects.filter(
        listener=session.mirror.listener_id,
        entity_name=session.mirror.salesforce_object,
        commit_timestamp__gte=round((since - OVERLAP).timestamp() * 1000),
    )
    for start in range(0, len(ids), _LOOKED_UP):
        page = ids[start : start + _LOOKED_UP]
        logged = entries.filter(record_id__in=[*page, *(one[:15] for one in page)])
        known = {long_id(one) for one in logged.values_list("record_id", flat=True)}
        session.settle(set(page) - known)
    session.cursor[_COVERED] = covered.isoformat()
    return None


def _covered_until(session: Session) -> datetime:
    """Return until when the last verification looked for changed ids."""
    done = session.mirror.runs.filter(
        kind=MirrorRun.Kind.VERIFY, state=MirrorRun.State.DONE, cursor__has_key=_COVERED
    )
    last = done.order_by("-id").first()
    return datetime.fromisoformat(last.cursor[_COVERED]) if last else EPOCH


def ids(session: Session) -> Later | None:
    """Compare all ids; continues in the next slice of time."""
    return _pages(session, with_fields=False)


def full(session: Session) -> Later | None:
    """Compare every field of every record, in a query job if there are many; continues in the next
    slice of time."""
    if (later := bulk.compare(session)) is not None:
        return later
    if bulk.needs_rest(session):
        return _pages(session, with_fields=True)
    return _pages(session, with_fields=False) if bulk.needs_ids(session) else None


def fields(session: Session) -> Later | None:
    """Compare some fields of every record; continues in the next slice of time."""
    return _pages(session, with_fields=True)


def sample(session: Session) -> Later | None:
    """Compare every field of some records."""
    session.settle_differing(session.comparison.here.some_ids(SAMPLE))
    return None


def _pages(session: Session, *, with_fields: bool) -> Later | None:
    comparison, after = session.comparison, session.cursor.get("after", "")
    names = comparison.rules.readable if with_fields else ()
    ours = Ahead(comparison.here.ids(after))
    for page, last in read_pages(comparison, after, names):
        there = (record["Id"] for record in page)
        differing = {one.record_id for one in one_sided(ours.until(last), there)}
        if with_fields:
            checked = comparison.differing(page)
            differing.update(checked.differing)
            session.settle_differing([key for key in checked.stale if key not in differing])
        if with_fields or not bulk.is_used(session):
            session.counts["compared"] += len(page)
        session.settle(differing)
        if last is not None:
            session.cursor["after"] = last
        session.keep(done=session.counts["compared"], total=session.mirror.rows_in_salesforce)
        if last is None:
            break
        if pause := session.pause():
            return pause
    return None
