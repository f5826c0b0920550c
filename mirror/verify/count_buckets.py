"""Finds records that differ by counts: buckets of creation time, halved where they differ.

A bucket is compared by the number of its records and the newest LastModifiedDate. It is counted
again after a pause before it counts as different, since changes are on their way all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from mirror.runs import RunFailed
from mirror.verify.buckets import Bucket, Count, first_buckets
from mirror.verify.here import Here
from mirror.verify.there import There

#: Records created this shortly before are not counted yet: they are still arriving.
YOUNG = timedelta(minutes=1)
PAUSE = 3.0
#: Records of a bucket that are listed instead of halving it.
LISTED = 2_000


def differing(
    here: Here, there: There, buckets: Sequence[Bucket], keep: Callable[[], object]
) -> dict[Bucket, int | None]:
    """Return the buckets that still differ after a pause, each with the larger number of records;
    None: unknown, since Salesforce did not end the query. `keep` is called between requests."""
    found = _differing(here, there, buckets, keep)
    if found:
        time.sleep(PAUSE)
        found = _differing(here, there, [*found], keep)
    return found


def narrowed(
    here: Here, there: There, bucket: Bucket, rows: int | None
) -> set[str] | tuple[Bucket, Bucket] | None:
    """Return the ids of a differing bucket's records that seem to differ, or its halves; None if it
    is too large to list and cannot be halved. Raises RunFailed."""
    if rows is not None and rows <= LISTED:
        return _listed(here, there, bucket)
    halves = bucket.halved()
    if halves is None and rows is None:
        raise RunFailed(
            f"Salesforce ended the query that counts {there.entity} because it took too long "
            "(QUERY_TIMEOUT). Verify by ids: manage.py mirror verify, with depth ids."
        )
    return halves


def initial(here: Here, there: There, now: datetime) -> list[Bucket]:
    """Return the buckets that are compared first: all records together are in one of them."""
    if here.created is None or not there.has_created:
        return [Bucket()]
    return first_buckets(there.oldest(), now - YOUNG, here.total().rows)


def _differing(
    here: Here, there: There, buckets: Sequence[Bucket], keep: Callable[[], object]
) -> dict[Bucket, int | None]:
    """Return the buckets that differ, each with the larger number of records; None: unknown."""
    ours = here.counts(buckets)
    found: dict[Bucket, int | None] = {}
    for bucket in buckets:
        theirs = there.count_or_none(bucket)
        keep()
        if theirs is None:
            found[bucket] = None
        elif not _is_same(ours[bucket], theirs):
            found[bucket] = max(ours[bucket].rows, theirs.rows)
    return found


def _is_same(ours: Count, theirs: Count) -> bool:
    # An object without LastModifiedDate has no newest one.
    is_as_new = theirs.newest is None or _second(ours.newest) == _second(theirs.newest)
    return ours.rows == theirs.rows and is_as_new


def _second(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


def _listed(here: Here, there: There, bucket: Bucket) -> set[str]:
    """Return the records of a bucket whose versions differ, or that one side lacks."""
    ours, theirs = here.versions(bucket), there.versions(bucket)
    return {
        record_id
        for record_id in ours.keys() | theirs.keys()
        if record_id not in ours
        or record_id not in theirs
        or (theirs[record_id] and _second(ours[record_id]) != _second(theirs[record_id]))
    }
