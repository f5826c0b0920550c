"""What many ask for at once is read once, and nobody is told what is too old."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from consumer.home.shared import Shared

MANY = 8


def test_of_many_who_ask_at_once_one_reads():
    shared, together, reads = Shared(seconds=60), Barrier(MANY), []

    def read() -> int:
        reads.append(1)
        return len(reads)

    def ask(_) -> int:
        together.wait(timeout=30)
        return shared.get("key", read)

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(ask, range(MANY))) == [1] * MANY


def test_what_is_older_is_read_anew_and_so_is_what_is_asked_for_anew():
    numbers = iter(range(10))

    def ask(shared, **how) -> int:
        return shared.get("key", lambda: next(numbers), **how)

    brief, long = Shared(seconds=0), Shared(seconds=60)
    assert [ask(brief), ask(brief)] == [0, 1]
    assert [ask(long), ask(long), ask(long, anew=True), ask(long)] == [2, 2, 3, 3]


def test_each_key_has_its_own_and_a_failure_is_not_kept():
    shared = Shared(seconds=60)

    def fail() -> str:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            shared.get("one", fail)
    assert shared.get("one", lambda: "one") == "one"
    assert shared.get("two", lambda: "two") == "two"
