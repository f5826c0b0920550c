"""The API and `cdc_status` report the same state for every listener."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.status.listeners import statuses
from listeners.models import Position
from tests.api.requests import LISTENERS
from tests.sample_data import make_listener

STATE = Position.State


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": STATE.RECEIVING, "held": 3600, "heard": 0}, "receiving"),
        ({"state": STATE.RECEIVING, "held": 3600, "heard": 140}, "receiving"),
        ({"state": STATE.RECEIVING, "held": 3600, "heard": 200}, "stalled"),
        ({"state": STATE.RECEIVING, "held": -60, "heard": 0}, "stopped"),
        ({"state": STATE.CONNECTING, "held": 3600}, "connecting"),
        ({"state": STATE.CONNECTING, "held": None}, "stopped"),
        ({"state": STATE.FAILED, "held": None, "reason": "the login was refused"}, "failed"),
        ({"state": STATE.STOPPED, "held": None}, "stopped"),
    ],
)
def test_a_state_and_its_reason_are_those_of_the_command(api, fields, state):
    now = timezone.now()
    held, heard = fields.pop("held"), fields.pop("heard", None)
    Position.objects.create(
        listener=make_listener(),
        epoch=3,
        holder="" if held is None else "somebody",
        lease_until=None if held is None else now + timedelta(seconds=held),
        last_received_at=None if heard is None else now - timedelta(seconds=heard),
        replay_id="77",
        **fields,
    )

    [found] = api.get(LISTENERS).json()["results"]
    [expected] = statuses(now)

    assert found["state"] == expected.state == state
    # Both count the seconds until now.
    assert without_seconds(found["reason"]) == without_seconds(expected.reason)
    assert found["position"]["replay_id"] == "77"
    assert set(found["position"]) == {
        "replay_id",
        "named_at",
        "tip_since",
        "last_event_at",
        "last_received_at",
    }


def without_seconds(reason: str | None) -> str:
    return re.sub(r"\d+ s\b", "N s", str(reason))


def test_a_listener_that_never_ran_is_stopped(api):
    make_listener()

    [found] = api.get(LISTENERS).json()["results"]
    [expected] = statuses(timezone.now())

    assert (found["state"], found["reason"]) == (expected.state, expected.reason)
    assert found["position"] is None


def test_a_list_takes_the_same_queries_for_any_length(api, django_assert_num_queries):
    for _ in range(5):
        make_listener()
    with django_assert_num_queries(2):  # the token with its user, the listeners
        assert len(api.get(LISTENERS).json()["results"]) == 5
