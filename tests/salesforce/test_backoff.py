from __future__ import annotations

from itertools import islice

from listeners.salesforce.backoff import full_jitter


def test_the_longest_pause_doubles_up_to_the_cap() -> None:
    assert list(islice(full_jitter(1, 10, rng=lambda: 1.0), 6)) == [1, 2, 4, 8, 10, 10]


def test_pauses_are_spread_down_to_zero() -> None:
    draws = iter([0.0, 0.5, 0.25])

    assert list(islice(full_jitter(2, 60, rng=lambda: next(draws)), 3)) == [0.0, 2.0, 2.0]


def test_it_never_ends_and_never_overflows() -> None:
    assert list(islice(full_jitter(0.5, 30, rng=lambda: 1.0), 5000))[-1] == 30
