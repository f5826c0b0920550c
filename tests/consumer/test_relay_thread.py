"""The relay's repairs are spread over the time in which each of them runs once."""

from collections import Counter

import pytest

from consumer.host.threads import repairs_due
from consumer.relay import REPAIRS

pytestmark = pytest.mark.anywhere


def run(seconds, every=10, done=0):
    """The numbers of the repairs that run in each of these seconds."""
    ran = []
    for second in seconds:
        ran.append(list(repairs_due(done, second / every)))
        done = ran[-1][-1] + 1 if ran[-1] else done
    return ran


def test_each_repair_runs_once_in_a_round_and_not_all_in_the_same_second():
    ran = run(range(1, 31))

    assert Counter(number % len(REPAIRS) for each in ran for number in each) == dict.fromkeys(
        range(len(REPAIRS)), 3
    )
    assert max(map(len, ran)) <= len(REPAIRS) / 10 + 1


def test_after_a_pause_each_repair_runs_once():
    [_, after_it, *_] = run([5, 500])

    assert len(after_it) == len({number % len(REPAIRS) for number in after_it}) == len(REPAIRS)


def test_rounds_that_are_shorter_than_a_second_run_all_of_them_each_second():
    assert [len(each) for each in run([1, 2, 3], every=0.5)] == [len(REPAIRS)] * 3
