"""Claims, retries and repairs use the database's clock, so that a machine's clock may be an hour
off."""

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from consumer.tasks import run_relay
from handlers.models import Delivery, DeliveryAttempt
from handlers.outbox.publish import publish
from tests.attempts import all_attempts
from tests.clock import clock_off_by
from tests.crash_points import at
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import RELEASE, read_journal
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

HOURS = pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
RELAY = "import django; django.setup(); from consumer.tasks import run_relay; run_relay()"


@pytest.fixture(autouse=True)
def _unreleased():
    RELEASE.unlink(missing_ok=True)
    yield
    RELEASE.unlink(missing_ok=True)


def deliver(listener, handler, data=None, **fields):
    mapping = make_mapping(listener, handler=handler, **fields)
    ingest(listener, lease_of(listener), received(change(data=data)), [mapping])
    return Delivery.objects.get(mapping=mapping)


def state_of(delivery):
    return Delivery.objects.values_list("state", flat=True).get(pk=delivery.pk)


@HOURS
def test_a_run_of_such_a_worker_is_not_taken_for_lost(listener, processes, hours):
    processes.worker(**clock_off_by(hours=hours))
    delivery = deliver(listener, "tests.hang_when_told", {"Hang": True})
    publish([delivery.pk], timezone.now())
    wait_for(read_journal, what="the run")

    run_relay()

    assert state_of(delivery) == "running"
    assert not DeliveryAttempt.objects.exists()
    RELEASE.touch()
    wait_for(lambda: state_of(delivery) == "succeeded", what="its end")
    [attempt] = all_attempts()
    delivery.refresh_from_db()
    assert abs((delivery.finished_at - timezone.now()).total_seconds()) < 600
    assert delivery.started_at <= attempt.finished_at


@HOURS
def test_a_relay_on_such_a_machine_takes_no_run_for_lost(listener, processes, hours):
    processes.worker()
    delivery = deliver(listener, "tests.hang_when_told", {"Hang": True})
    publish([delivery.pk], timezone.now())
    wait_for(read_journal, what="the run")

    assert processes.start("-c", RELAY, **clock_off_by(hours=hours)).wait() == 0

    assert state_of(delivery) == "running"
    RELEASE.touch()
    wait_for(lambda: state_of(delivery) == "succeeded", what="its end")


@HOURS
def test_retries_of_such_a_worker_are_due_when_they_should_be(listener, processes, hours):
    processes.worker(**clock_off_by(hours=hours))
    delivery = deliver(listener, "tests.fail_twice")
    publish([delivery.pk], timezone.now())

    def has_succeeded():
        run_relay()
        return state_of(delivery) == "succeeded"

    wait_for(has_succeeded, what="the third attempt")
    assert [line["attempt"] for line in read_journal()] == [1, 2, 3]


@HOURS
def test_a_relay_on_such_a_machine_publishes_retries_when_they_are_due(listener, processes, hours):
    processes.worker()
    delivery = deliver(listener, "tests.retry_in_an_hour")
    publish([delivery.pk], timezone.now())
    wait_for(lambda: state_of(delivery) == "retrying", what="the first attempt")

    assert processes.start("-c", RELAY, **clock_off_by(hours=1.5 * hours)).wait() == 0

    assert state_of(delivery) == "retrying"
    Delivery.objects.update(due_at=timezone.now())
    assert processes.start("-c", RELAY, **clock_off_by(hours=hours)).wait() == 0
    wait_for(lambda: state_of(delivery) == "succeeded", what="the second attempt")


@HOURS
def test_a_run_that_died_on_such_a_machine_is_tried_again_soon(listener, processes, hours):
    short = {"CDC_CLAIM_SECONDS": "4"}
    processes.worker(**clock_off_by(hours=hours), **short)
    delivery = deliver(listener, "tests.die_when_told", {"Kill": True})
    publish([delivery.pk], timezone.now())

    def has_succeeded():
        run_relay()
        return state_of(delivery) == "succeeded"

    wait_for(has_succeeded, what="the second attempt")
    outcomes = DeliveryAttempt.objects.order_by("number").values_list("outcome", flat=True)
    *earlier, last = outcomes
    assert "lost" in earlier  # once, unless a slow machine loses the second attempt, too
    assert last == "succeeded"


@HOURS
def test_what_such_a_listener_could_not_publish_is_published_soon(
    org_listener, simulator, processes, hours
):
    """The process died between the commit and the publication."""
    processes.listener(**clock_off_by(hours=hours), **at("committed:kill-all"))
    simulator.create("Account", {"Name": "Acme"})
    wait_for(Delivery.objects.exists, what="the recorded change")
    delivery = Delivery.objects.get()
    processes.worker()

    def has_succeeded():
        run_relay()
        return state_of(delivery) == "succeeded"

    wait_for(has_succeeded, what="its publishing")
