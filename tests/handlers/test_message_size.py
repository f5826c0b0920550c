"""The more messages wait, the more deliveries share a message."""

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.broker import queue_length
from handlers.outbox import handover, message_size
from handlers.outbox.message_size import spread
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)


def published(listener, mapping, numbers):
    changes = received(*(change(records=[f"001{n}"]) for n in numbers))
    to_publish = ingest(listener, lease_of(listener), changes, [mapping]).to_publish
    handover.publish(to_publish, timezone.now())
    return [len(message.ids) for message in to_publish.messages]


def test_the_more_wait_the_more_share_a_message(listener, broker, monkeypatch):
    monkeypatch.setattr(message_size, "FRESH_SECONDS", 600.0)
    mapping = make_mapping(listener)
    assert published(listener, mapping, range(20)) == [1] * 20

    assert message_size.messages_waiting("cdc") == 20
    assert published(listener, mapping, range(20, 40)) == [20]


def test_what_was_seen_long_ago_does_not_count(listener, broker, monkeypatch):
    mapping = make_mapping(listener)
    published(listener, mapping, range(20))
    monkeypatch.setattr(message_size, "FRESH_SECONDS", -1.0)

    assert published(listener, mapping, range(20, 30)) == [1] * 10


def test_a_queue_is_not_looked_into_for_every_batch(listener, broker, monkeypatch):
    monkeypatch.setattr(message_size, "LOOK_SECONDS", 600.0)
    monkeypatch.setattr(message_size, "FRESH_SECONDS", 600.0)
    mapping = make_mapping(listener)
    published(listener, mapping, range(2))
    published(listener, mapping, range(2, 4))

    assert (message_size.messages_waiting("cdc"), queue_length("cdc")) == (2, 4)


@pytest.mark.parametrize(
    ("count", "waiting", "size"),
    [(8, 0, 1), (64, 0, 4), (5000, 0, 100), (64, 8, 8), (8, 15, 8), (8, 999, 8), (500, 999, 100)],
)
def test_few_are_spread_and_many_travel_together(count, waiting, size):
    assert spread(count, waiting) == size
