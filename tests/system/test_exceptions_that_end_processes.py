"""A handler's own SystemExit is a failure; one by which a worker ends its process is not."""

import os
import signal
from datetime import timedelta

import pytest

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt
from handlers.outbox.publish import publish
from listeners.clock import database_clock
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import RELEASE, read_journal
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


def deliver(listener, handler, *messages, **options):
    mapping = make_mapping(listener, handler=handler, options=options, ordering="unordered")
    ingest(listener, lease_of(listener), received(*messages), [mapping])
    deliveries = list(Delivery.objects.filter(mapping=mapping).order_by("id"))
    publish([one.pk for one in deliveries], database_clock.now(), size=1)
    return deliveries


def has_ended(*deliveries):
    ended = Delivery.objects.filter(pk__in=[one.pk for one in deliveries], state__in=ENDED)
    return ended.count() == len(deliveries)


ENDED = ("succeeded", "dead")


@pytest.fixture(autouse=True)
def _unreleased():
    RELEASE.unlink(missing_ok=True)
    yield
    RELEASE.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
def test_a_workers_process_outlives_what_a_handler_raises(listener, processes, name):
    worker = processes.worker()
    raising = deliver(
        listener, "tests.raise_as_told", change(), change(records=["001B"]), **{"raise": name}
    )

    wait_for(lambda: has_ended(*raising), what="both attempts")

    attempts = DeliveryAttempt.objects.all()
    assert {attempt.outcome for attempt in attempts} == {"failed"}
    assert all(attempt.error.startswith(f"{name}: ") for attempt in attempts)
    assert all("in raise_as_told" in attempt.traceback for attempt in attempts)
    assert len({line["pid"] for line in read_journal()}) == 1
    assert worker.terminate(60) == 0


def test_a_run_whose_process_is_terminated_is_lost_and_not_failed(listener, processes):
    processes.worker()
    [hanging] = deliver(listener, "tests.hang_when_told", change(data={"Hang": True}))
    [begun] = wait_for(read_journal, what="the run")

    os.kill(begun["pid"], signal.SIGTERM)

    RELEASE.touch()
    [other] = deliver(listener, "tests.remember", change(records=["001B"]))
    wait_for(lambda: has_ended(other), what="another child's run")
    assert not DeliveryAttempt.objects.filter(delivery=hanging).exists()
    Delivery.objects.filter(pk=hanging.pk, state="running").update(
        claim_deadline=database_clock.read() - timedelta(seconds=1)
    )
    relay.reclaim(database_clock.read())
    assert DeliveryAttempt.objects.get(delivery=hanging, number=1).outcome == "lost"


def test_a_worker_that_is_stopped_finishes_its_run(listener, processes):
    worker = processes.worker()
    [hanging] = deliver(listener, "tests.hang_when_told", change(data={"Hang": True}))
    wait_for(read_journal, what="the run")

    worker.signal(signal.SIGTERM)
    worker.wait_for_output("Warm shutdown")
    RELEASE.touch()

    assert worker.wait() == 0
    hanging.refresh_from_db()
    assert hanging.state == "succeeded"
