"""A comparison waits until the stream has delivered what it still delivers after a loss."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Reconciliation
from consumer.reconciliation.schedule import is_ready
from listeners.models import Position
from tests.sample_data import lease_of

pytestmark = pytest.mark.django_db

LOST = timezone.now() - timedelta(minutes=1)
BEFORE, AFTER = LOST - timedelta(seconds=10), LOST + timedelta(seconds=50)


@pytest.fixture
def job(listener):
    return Reconciliation(listener=listener, reason="replay_lost", window_end=LOST)


def is_ready_with(job, now=AFTER, **position) -> bool:
    lease_of(job.listener)
    heard = {"last_received_at": AFTER, "state_since": BEFORE}
    fields = {"state": "receiving", **heard, **position}
    Position.objects.filter(listener=job.listener).update(**fields)
    return is_ready(job, now)


@pytest.mark.parametrize("known", ["last_event_at", "caught_up_at"])
def test_it_is_ready_at_once_when_the_stream_says_so(job, known):
    """This holds however often an answer without a change comes."""
    assert is_ready_with(job, **{known: AFTER})
    assert not is_ready_with(job, **{known: BEFORE})


@pytest.mark.parametrize(
    "heard",
    [
        {"last_received_at": AFTER, "state_since": BEFORE},
        {"last_received_at": BEFORE, "state_since": AFTER},  # it was subscribed, and is held since
        {"last_received_at": None, "state_since": AFTER},
    ],
)
def test_it_is_ready_when_nothing_has_come_for_a_while(job, settings, heard):
    quiet = timedelta(seconds=settings.CDC_CAUGHT_UP_SECONDS)

    assert not is_ready_with(job, AFTER + quiet / 2, **heard)
    assert is_ready_with(job, AFTER + quiet, **heard)


@pytest.mark.parametrize("state", ["connecting", "stopped"])
def test_it_waits_for_a_listener_that_does_not_receive(job, state):
    assert not is_ready_with(job, caught_up_at=AFTER, state=state)


def test_it_waits_for_one_that_was_not_heard_of_since(job):
    assert not is_ready_with(job, last_received_at=BEFORE, last_event_at=AFTER)
