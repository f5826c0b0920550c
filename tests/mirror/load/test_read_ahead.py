"""Items are read one ahead while the database works."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mirror.load.read_ahead import ReadAhead


class Source:
    """Items 1, 2, …, each read only after `allowed`; `reading` is set when a read begins."""

    def __init__(self, *items: object) -> None:
        self.items = items
        self.reading, self.allowed = threading.Event(), threading.Event()
        self.allowed.set()
        self.threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[object]:
        for item in self.items:
            self.threads.append(threading.current_thread())
            self.reading.set()
            assert self.allowed.wait(60)
            if isinstance(item, Exception):
                raise item
            yield item


def test_all_items_come_in_order_with_and_without_reading_ahead() -> None:
    with ReadAhead(iter(Source(1, 2, 3, 4))) as items:
        got = []
        for item in items:
            got.append(item)
            if item in (1, 2):
                items.begin()
                items.begin()

    assert got == [1, 2, 3, 4]


def test_the_next_item_is_read_beside_the_caller_once_it_says_so() -> None:
    source = Source(1, 2)
    with ReadAhead(iter(source)) as items:
        assert next(iter(items)) == 1
        source.reading.clear()

        items.begin()

        assert source.reading.wait(60)
    assert threading.current_thread() not in source.threads


def test_nothing_is_read_before_the_caller_says_so() -> None:
    source = Source(1, 2)
    with ReadAhead(iter(source)) as items:
        assert next(iter(items)) == 1

    assert len(source.threads) == 1


def test_an_error_of_reading_is_raised_after_the_item_before_it() -> None:
    with ReadAhead(iter(Source(1, ValueError("cut off")))) as source:
        items = iter(source)
        assert next(items) == 1
        source.begin()

        with pytest.raises(ValueError, match="cut off"):
            next(items)


def test_leaving_waits_for_the_read_that_has_begun() -> None:
    source = Source(1, 2)
    with ReadAhead(iter(source)) as items:
        next(iter(items))
        source.reading.clear()
        source.allowed.clear()
        items.begin()
        assert source.reading.wait(60)
        threading.Timer(0.05, source.allowed.set).start()

    assert source.allowed.is_set()
