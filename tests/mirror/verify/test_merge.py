"""Ids on one side only are found by merging two sorted streams, in constant memory."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest

from mirror.verify.merge import OneSided, one_sided


def ids(numbers):
    return (f"001{number:012d}AAA" for number in numbers)


def test_the_result_is_the_symmetric_difference():
    rng = random.Random(7)
    for _ in range(200):
        here = {rng.randrange(40) for _ in range(rng.randrange(30))}
        there = {rng.randrange(40) for _ in range(rng.randrange(30))}
        found = [*one_sided(ids(sorted(here)), ids(sorted(there)))]

        assert {one.record_id for one in found if one.is_here} == {*ids(here - there)}
        assert {one.record_id for one in found if not one.is_here} == {*ids(there - here)}


def test_an_id_that_a_page_repeats_is_one_id():
    assert [*one_sided(["a", "b"], ["a", "a", "b"])] == []


def test_streams_that_are_not_in_order_are_refused():
    with pytest.raises(ValueError, match="not in order"):
        [*one_sided(["b", "a"], ["c"])]


def test_a_million_ids_need_no_memory():
    tracemalloc.start()
    here = ids(n for n in range(300_000) if n != 5)
    found = [*itertools.islice(one_sided(here, ids(range(300_000))), 10)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == [OneSided("001000000000005AAA", is_here=False)]
    assert most < 100_000
