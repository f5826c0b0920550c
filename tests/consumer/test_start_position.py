"""A change counts as older than its listener by its commit's time, with a margin."""

from datetime import UTC, datetime

import pytest

from consumer.stream.start_position import is_before_start

BEGAN = datetime(2026, 11, 3, 9, 0, 0, tzinfo=UTC)
TWO_MINUTES_BEFORE = int(BEGAN.timestamp() * 1000) - 120_000


def message(**header):
    return {"data": {"payload": {"ChangeEventHeader": header}}}


@pytest.mark.parametrize(
    ("header", "is_older"),
    [
        ({"commitTimestamp": TWO_MINUTES_BEFORE - 1}, True),
        ({"commitTimestamp": TWO_MINUTES_BEFORE}, False),
        ({"commitTimestamp": "unreadable"}, False),
        ({}, False),
    ],
)
def test_a_change_of_over_two_minutes_before_the_beginning_is_older(header, is_older):
    assert is_before_start(message(**header), BEGAN) is is_older


def test_no_change_is_older_than_a_listener_that_did_not_begin_at_the_tip():
    assert not is_before_start(message(commitTimestamp=0), None)
