"""Reads that many callers request at once run once, and return nothing that is too old."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from consumer.status.cached_reads import BackgroundRead, CachedReads

MANY = 8


def test_one_of_many_simultaneous_callers_reads():
    cached, together, reads = CachedReads(seconds=60), Barrier(MANY), []

    def read() -> int:
        reads.append(1)
        return len(reads)

    def ask(_) -> int:
        together.wait(timeout=30)
        return cached.get("key", read)

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(ask, range(MANY))) == [1] * MANY


def test_an_expired_value_is_read_again_and_so_is_one_on_a_fresh_read():
    numbers = iter(range(10))

    def ask(cached, **how) -> int:
        return cached.get("key", lambda: next(numbers), **how)

    brief, long = CachedReads(seconds=0), CachedReads(seconds=60)
    assert [ask(brief), ask(brief)] == [0, 1]
    assert [ask(long), ask(long), ask(long, fresh=True), ask(long)] == [2, 2, 3, 3]


def test_each_key_has_its_own_and_a_failure_is_not_kept():
    cached = CachedReads(seconds=60)

    def fail() -> str:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            cached.get("one", fail)
    assert cached.get("one", lambda: "one") == "one"
    assert cached.get("two", lambda: "two") == "two"


def test_a_read_in_the_background_is_shared_while_it_runs_and_for_some_seconds():
    numbers, may_end = iter(range(10)), Event()

    def read() -> int:
        may_end.wait(30)
        return next(numbers)

    cached, uncached = BackgroundRead(read, name="a", seconds=60), BackgroundRead(read, name="b")
    running = cached.begin()
    assert cached.begin() is running
    with pytest.raises(TimeoutError):
        running.result(0)
    may_end.set()

    assert running.result(30) == 0
    assert cached.begin().result(30) == 0
    assert [uncached.begin().result(30), uncached.begin().result(30)] == [1, 2]


def test_a_failed_read_in_the_background_is_not_used_again():
    numbers = iter([0, 1])
    read = BackgroundRead(lambda: 1 // next(numbers), name="test", seconds=60)

    with pytest.raises(ZeroDivisionError):
        read.begin().result(30)
    assert read.begin().result(30) == 1
