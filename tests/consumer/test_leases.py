"""One holder at a time, each with its own epoch."""

import pytest

from listeners.models import Position
from tests.sample_data import lease_of

pytestmark = pytest.mark.django_db(transaction=True)


def expire() -> None:
    Position.objects.update(lease_until="2020-01-01T00:00Z")


def test_the_first_one_gets_it_and_the_second_does_not(listener):
    assert lease_of(listener, "one").epoch == 1
    assert lease_of(listener, "two") is None


def test_an_expired_lease_goes_to_another_with_the_next_epoch(listener):
    lease_of(listener, "one")
    expire()

    assert lease_of(listener, "two").epoch == 2


def test_a_lost_lease_can_be_neither_renewed_nor_released(listener):
    old = lease_of(listener, "one")
    expire()
    lease_of(listener, "two")

    assert not Position.objects.renew(old)
    assert not Position.objects.release(old)
    assert Position.objects.get().holder == "two"


def test_renewing_keeps_it(listener):
    lease = lease_of(listener, "one")
    expire()

    assert Position.objects.renew(lease)
    assert lease_of(listener, "two") is None


def test_a_released_lease_is_free_at_once(listener):
    Position.objects.release(lease_of(listener, "one"))

    assert lease_of(listener, "two").epoch == 2
