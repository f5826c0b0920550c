"""A standby process, which hosts no listener, is ready while others receive for all listeners that
it may run."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.host.assignment import Standby
from listeners.leases import LEASE
from listeners.models import Position

HERE, ELSEWHERE = "here:1:a", "elsewhere:1:b"


@pytest.fixture
def seen(listener):
    """Returns whether a process takes the only listener to be served by another process."""

    def see(holder=ELSEWHERE, state="receiving", held_for=timedelta(hours=1), now=1.0):
        Position.objects.update_or_create(
            listener=listener,
            defaults={"holder": holder, "state": state, "lease_until": timezone.now() + held_for},
        )
        standby = Standby(HERE)
        positions = {one.listener_id: one for one in Position.objects.with_life()}
        standby.refresh([listener.pk], positions, now=100.0)
        return standby.is_served(now + 100.0)

    return see


def test_another_that_receives_is_stood_by_for(seen):
    assert seen()


@pytest.mark.parametrize(
    "other",
    [
        {"state": "connecting"},
        {"state": "failed"},
        {"holder": HERE},
        {"holder": ""},
        {"held_for": timedelta(seconds=-1)},
    ],
    ids=str,
)
def test_a_process_that_does_not_receive_is_not_stood_by_for(seen, other):
    assert not seen(**other)


def test_it_is_said_once_each_time_that_others_receive_all(make_listener, caplog):
    listeners = [make_listener(), make_listener()]
    standby = Standby(HERE)

    def look(*holders):
        for listener, holder in zip(listeners, holders, strict=True):
            Position.objects.update_or_create(
                listener=listener,
                defaults={
                    "holder": holder,
                    "state": "receiving",
                    "lease_until": timezone.now() + timedelta(hours=1),
                },
            )
        positions = {one.listener_id: one for one in Position.objects.with_life()}
        standby.refresh([one.pk for one in listeners], positions, now=100.0)
        return caplog.text.count("standing by")

    with caplog.at_level("INFO", logger="consumer.host.assignment"):
        assert look(ELSEWHERE, ELSEWHERE) == 1
        assert look(ELSEWHERE, ELSEWHERE) == 1
        assert look(HERE, ELSEWHERE) == 1  # it receives one of them itself
        assert look(ELSEWHERE, ELSEWHERE) == 2


def test_what_was_seen_a_lease_ago_counts_no_more(seen):
    assert not seen(now=LEASE.total_seconds())


def test_without_a_listener_there_is_nothing_to_stand_by_for(db):
    standby = Standby(HERE)
    standby.refresh([], {}, now=0.0)

    assert not standby.is_served(now=0.0)


def test_a_listener_that_never_ran_is_received_by_no_process(listener):
    standby = Standby(HERE)
    standby.refresh([listener.pk], {}, now=0.0)

    assert not standby.is_served(now=0.0)


def test_nothing_is_known_before_the_first_look():
    assert not Standby(HERE).is_served(now=0.0)
