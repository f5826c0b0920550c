"""The counts of a listener's deliveries are right and quick, however many others wait."""

import pytest

from console.designer import counts
from handlers.models import Delivery
from handlers.reporting import backlog
from tests.sample_data import make_listener, make_mapping

pytestmark = pytest.mark.django_db


@pytest.fixture
def of_another(make_entry, make_delivery):
    listener = make_listener()
    return lambda **fields: make_delivery(make_entry(listener=listener), **fields)


def test_what_waits_is_of_this_listener_alone(listener, make_delivery, of_another):
    mine, other = make_mapping(listener), make_mapping(make_listener())
    for state in ("blocked", "queued", "dead", "dead", "succeeded"):
        make_delivery(mapping=mine, state=state)
        of_another(mapping=other, state=state)
    make_delivery(mapping=mine, state="ready", paused=True)
    make_delivery(state="dead")
    of_another(state="dead")

    found = counts.waiting(listener.pk, [mine.pk])

    assert found.of(mine.pk) == {"blocked": 1, "queued": 1, "ready": 1, "dead": 2}
    assert found.total("dead") == 3
    assert found.total("queued") == 1


def test_beyond_the_limit_a_number_is_a_lower_bound(listener, make_delivery, monkeypatch):
    for module in (backlog, counts):
        monkeypatch.setattr(module, "COUNTED", 2)
    mapping = make_mapping(listener)
    for state in ("dead", "dead", "dead", "queued"):
        make_delivery(mapping=mapping, state=state)

    found = counts.waiting(listener.pk, [mapping.pk])

    assert found.shown(found.of(mapping.pk)["dead"], Delivery.State.DEAD) == "2+"
    assert found.shown(found.of(mapping.pk)["queued"], Delivery.State.QUEUED) == "1"


def test_a_listener_without_event_handlers_has_what_a_deleted_one_left(listener, make_delivery):
    make_delivery(state="queued")
    deleted = make_mapping(listener)
    for state in ("queued", "dead"):
        make_delivery(mapping=deleted, state=state)
    deleted.delete()
    assert counts.waiting(listener.pk, []).of(None) == {"queued": 2, "dead": 1}


def test_what_a_deleted_one_left_takes_no_others_place(listener, make_delivery, monkeypatch):
    for module in (backlog, counts):
        monkeypatch.setattr(module, "COUNTED", 2)
    deleted, mapping = make_mapping(listener), make_mapping(listener)
    for _ in range(4):
        make_delivery(mapping=deleted, state="dead")
    make_delivery(mapping=mapping, state="dead")
    deleted.delete()

    assert counts.waiting(listener.pk, [mapping.pk]).of(mapping.pk) == {"dead": 1}
