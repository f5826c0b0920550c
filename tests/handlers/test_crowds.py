"""What follows in chains as a small message waits for company where many messages wait already."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer import relay
from consumer.ingest import ingest
from handlers import pressure
from handlers.following import READY_AGE
from handlers.models import Delivery
from handlers.runner import run_delivery
from tests.handlers.bundling import ids_of, messages, publish, record_id, without_haste
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

RECORDS = 3
LONG_AGO = 2 * READY_AGE


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    monkeypatch.setattr(pressure, "_seen", {})
    without_haste(monkeypatch)


def crowd(listener, number=pressure.CROWD):
    """So many messages of others in the queue."""
    mapping = make_mapping(listener, entity="Contact")
    changes = [change(entity="Contact", records=[f"003{n:015}"]) for n in range(number)]
    ingest(listener, lease_of(listener), received(*changes))
    publish(ids_of(mapping=mapping), size=1)
    assert len(messages()) == number


def chains(listener, *, age=LONG_AGO, **fields):
    """Two changes each of some records, received that long ago: the first of each, and those that
    follow."""
    mapping = make_mapping(listener, entity="Account", **fields)
    changes = [change(records=[record_id(n)]) for n in [*range(RECORDS)] * 2]
    ingest(listener, lease_of(listener), received(*changes))
    mine = Delivery.objects.filter(mapping=mapping)
    mine.update(created_at=timezone.now() - age)
    return ids_of(mapping=mapping)[:RECORDS], ids_of(mapping=mapping)[RECORDS:]


def test_the_relay_publishes_them_together(listener):
    crowd(listener)
    first, following = chains(listener)
    before = messages()

    assert [run_delivery(pk) for pk in first] == ["succeeded"] * RECORDS
    assert ids_of(state="ready") == following
    assert messages() == before

    relay.publish_due(timezone.now())
    assert messages() == [*before, following]
    assert ids_of(state="ready") == []


def test_it_follows_at_once_where_few_wait(listener):
    crowd(listener, pressure.CROWD - 1)
    first, _ = chains(listener)

    assert run_delivery(first[0]) == "2 succeeded"


@pytest.mark.parametrize(
    "told",
    [
        {"age": timedelta(0)},  # the relay would leave it alone for some seconds
        {"max_attempts": 1},  # never in company
    ],
)
def test_it_follows_at_once_where_waiting_brings_nothing(listener, told):
    crowd(listener)
    first, _ = chains(listener, **told)

    assert run_delivery(first[0]) == "2 succeeded"


def test_a_broker_that_is_away_keeps_nothing_waiting(listener, broker):
    crowd(listener)
    first, _ = chains(listener)
    broker.stop()
    try:
        assert run_delivery(first[0]) == "2 succeeded"
    finally:
        broker.start()
