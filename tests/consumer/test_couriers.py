"""The couriers that a listener process hosts, one for each destination."""

import threading

import pytest

from consumer.host.couriers import Couriers
from handlers.models import Destination
from tests.sample_data import make_mapping
from tests.servers import PATIENCE_SECONDS, free_port

pytestmark = pytest.mark.anywhere


@pytest.fixture
def couriers():
    hosted = Couriers()
    yield hosted
    hosted.stop()
    hosted.join(PATIENCE_SECONDS)


def running() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "courier shop"}


def unreachable() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


@pytest.mark.django_db(transaction=True)
def test_a_courier_reads_until_its_destination_changes(listener, couriers):
    destination = Destination.objects.create(name="shop", broker=unreachable())
    make_mapping(listener, "create", handler="", task="shop.sync", destination=destination)

    couriers.refresh()
    [first] = running()
    couriers.refresh()
    assert running() == {first}

    destination.broker = unreachable()
    destination.save()
    couriers.refresh()
    [second] = running() - {first}
    first.join(PATIENCE_SECONDS)
    assert running() == {second}
