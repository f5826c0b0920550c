"""A publisher that is stopped publishes what waits, and accepts nothing more."""

import pytest

from consumer.ingest.transaction import ingest
from consumer.stream.publisher import Publisher
from handlers.models import Delivery, Handover
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def record(listener, broker):
    """Records a change of a record, and returns what is to be published."""
    mapping = make_mapping(listener)

    def recorded(number=0):
        created = change(records=[f"001{number:015}"])
        return ingest(listener, lease_of(listener), received(created), [mapping]).to_publish

    return recorded


def test_what_waits_when_it_is_stopped_is_published(record):
    publisher = Publisher()
    for number in range(2):
        publisher.publish(record(number))

    publisher.stop()
    publisher.thread.start()
    publisher.thread.join()

    assert set(Delivery.objects.values_list("state", flat=True)) == {"queued"}
    assert not Handover.objects.exists()


def test_what_comes_after_it_is_stopped_is_left_to_the_relay(record):
    publisher = Publisher()
    publisher.stop()

    publisher.publish(record())
    publisher.thread.start()
    publisher.thread.join()

    assert Handover.objects.exists()
