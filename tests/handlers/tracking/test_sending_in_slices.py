"""A call sends for some seconds, and returns what it does not send."""

import pytest

from handlers.models import Delivery
from handlers.outbox import publish
from handlers.tracking import send
from tests.sample_data import change

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]

NUMBER = 3


@pytest.fixture
def ids(scene, broker, monkeypatch):
    """Deliveries that are ready."""
    monkeypatch.setattr(publish, "senders", [lambda ids, now: 0])
    scene.mapping()
    return scene.record(*(change(records=[f"00100000000000{n}AAA"]) for n in range(NUMBER)))


def test_a_call_does_not_outlast_the_time_limit_of_its_task(scene, ids, monkeypatch):
    monkeypatch.setattr(send, "BATCH", 1)
    monkeypatch.setattr(send, "SECONDS", 0.0)

    for number in range(NUMBER):
        assert send.send_external(ids[number:], scene.now()) == 1

    assert scene.states == ["queued"] * NUMBER


def test_a_process_that_ends_returns_what_it_has_claimed(scene, ids):
    assert send.send_external(ids, scene.now(), is_over=lambda: True) == 0

    assert set(Delivery.objects.values_list("state", "attempts")) == {("ready", 0)}
