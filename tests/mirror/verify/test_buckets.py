"""Buckets cover all times once, and can be halved down to a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from mirror.verify.buckets import MOST, ROWS, Bucket, Count, first_buckets, total

OLDEST = datetime(2026, 1, 1, 0, 0, 3, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("rows", [0, 1, ROWS, ROWS + 1, 100 * ROWS])
def test_buckets_follow_each_other_without_a_hole(rows):
    until = OLDEST + timedelta(days=300)
    found = first_buckets(OLDEST, until, rows)

    assert found[0].start is None
    assert found[-1].end == until.replace(microsecond=0)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert len(found) <= MOST + 1


def test_an_object_without_records_is_one_bucket():
    [bucket] = first_buckets(None, OLDEST, 0)
    assert bucket == Bucket(None, OLDEST.replace(microsecond=0))


def test_halving_ends_at_a_second():
    bucket, depth = Bucket(OLDEST.replace(microsecond=0), OLDEST + timedelta(days=365)), 0
    while halves := bucket.halved():
        assert halves[0].end == halves[1].start
        bucket, depth = halves[depth % 2], depth + 1
    assert bucket.end - bucket.start <= timedelta(seconds=1)


def test_counts_add_up():
    assert total([Count(1, None), Count(2, OLDEST)]) == Count(3, OLDEST)
