from __future__ import annotations

import random
from itertools import islice

import pytest

from listeners.backoff import Backoff


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The ranges from which delays were drawn; each delay is the maximum of its range."""
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    return drawn


def test_the_longest_delay_doubles_up_to_the_cap(draws: list[tuple[float, float]]) -> None:
    assert list(islice(Backoff(1, 10).delays(), 6)) == [1, 2, 4, 8, 10, 10]
    assert Backoff(1, 10).delay(3) == 4


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0), (0.5, 4), (0.0, 8)])
def test_the_jitter_says_how_far_down_delays_are_spread(
    draws: list[tuple[float, float]], jitter: float, least: float
) -> None:
    Backoff(2, 60, jitter).delay(3)

    assert draws == [(least, 8)]


def test_delays_are_drawn_from_the_whole_range() -> None:
    drawn = [Backoff(2, 60).delay(1) for _ in range(200)]

    assert 0 <= min(drawn) < 0.5
    assert 1.5 < max(drawn) <= 2


def test_it_never_ends_and_never_overflows() -> None:
    assert list(islice(Backoff(0.5, 30, jitter=0.0).delays(), 5000))[-1] == 30
