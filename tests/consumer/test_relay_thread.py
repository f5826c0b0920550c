"""The relay's repairs are spread over the time in which each of them runs once."""

from collections import Counter
from functools import partial

import pytest

from consumer.host.threads import relay_thread
from listeners.backoff import Backoff
from listeners.threads import Step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]
COUNT = 15


@pytest.fixture
def ran():
    """The numbers of the repairs that ran."""
    return []


@pytest.fixture
def repairs(ran):
    return [Step(f"repair {n}", partial(note, ran, n), consequence="") for n in range(COUNT)]


def note(ran, number, _):
    ran.append(number)


def test_repairs_run_two_by_two_in_their_order(ran, repairs, settings):
    settings.CDC_SWEEP_SECONDS = 10.0
    thread = relay_thread(repairs)

    thread.step()
    assert ran == [0, 1]
    for _ in range(COUNT - 1):
        thread.step()

    assert ran == [*range(COUNT), *range(COUNT)]


def test_a_repair_that_fails_keeps_none_from_running(ran, repairs, settings):
    settings.CDC_SWEEP_SECONDS = 10.0

    def fail(now):
        ran.append(2)
        raise ValueError("broken row")

    repairs[2] = Step("broken repair", fail, consequence="", backoff=Backoff(0, 0))
    thread = relay_thread(repairs)
    for _ in range(COUNT + 1):
        thread.step()

    assert min(Counter(ran).values()) == 2
    assert len(Counter(ran)) == COUNT


def test_within_less_than_a_second_each_repair_runs_once_a_second(ran, repairs, settings):
    settings.CDC_SWEEP_SECONDS = 0.5

    relay_thread(repairs).step()

    assert ran == list(range(COUNT))
