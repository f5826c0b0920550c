"""Recording, runs, redeliveries, repairs and changes of mappings work on the same chains at
once."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.outbox.handover import READY_AGE
from handlers.redelivery.request import RedeliveryRequest
from tests.attempts import all_attempts
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal
from tests.servers import PATIENCE_SECONDS, wait_for
from tests.system.verdict import assert_in_order

pytestmark = pytest.mark.anywhere

RECORDS = 6
BATCHES = 12
REDELIVERED = 12


class Threads:
    """Threads that run until they are stopped; an exception in one of them, such as a deadlock,
    fails the test."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, turn: Callable[[], object], *, turns: int | None = None) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(turn, turns))
        self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, turn: Callable[[], object], turns: int | None) -> None:
        try:
            while not self._end.is_set() and turns != 0:
                turn()
                turns = None if turns is None else turns - 1
                time.sleep(0.001)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            connection.close()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def threads():
    started = Threads()
    yield started
    started.end()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, not row locks")
@pytest.mark.django_db(transaction=True)
def test_what_happens_at_once_keeps_each_chain_and_loses_nothing(
    listener, broker, journal, threads
):
    # With the one it shares a lane, or does not, as that one is edited; it gets nothing itself.
    other = make_mapping(listener, "create", "tests.skip", entity="Contact")
    mapping = make_mapping(listener, "update", "tests.retry_once")
    lease = lease_of(listener)
    redelivered = Delivery.objects.exclude(redelivery=None)

    def record():
        batch = [change("UPDATE", [f"001{n:015}"]) for n in range(RECORDS)]
        ingest(listener, lease, received(*batch))

    def run_some():
        for pk in Delivery.objects.filter(state__in=("queued", "retrying")).values_list("pk")[:5]:
            run_delivery(*pk)

    def repair():
        relay.publish_due(timezone.now() + READY_AGE)
        relay.sweep(timezone.now())

    def send_again():
        ended = Delivery.objects.filter(state="succeeded", redelivery=None).order_by("?")[:3]
        ids = list(ended.values_list("pk", flat=True))
        if ids and redelivered.count() < REDELIVERED:
            redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk__in=ids)), timezone.now())

    def edit():
        ons = {"create": "update", "update": "create"}
        other.on = ons[other.on]
        other.save()
        time.sleep(0.02)

    recording = [threads.start(record, turns=BATCHES // 2) for _ in range(2)]
    for _ in range(3):
        threads.start(run_some)
    for _ in range(2):
        threads.start(repair)
    threads.start(send_again)
    threads.start(edit)
    for thread in recording:
        thread.join(PATIENCE_SECONDS)

    def is_at_rest():
        assert not threads.errors
        unended = Delivery.objects.filter(state__in=Delivery.UNENDED)
        return redelivered.count() >= REDELIVERED and not unended.exists()

    wait_for(is_at_rest, what="the end of each delivery")
    threads.end()
    assert not threads.errors
    assert Delivery.objects.filter(state="succeeded").count() == RECORDS * BATCHES
    runs = Counter((line["id"], line["attempt"]) for line in read_journal())
    assert set(runs.values()) == {1}
    assert len(runs) == len(all_attempts())
    assert mapping.deliveries.count() == RECORDS * BATCHES
    assert_in_order([(line["record"], line["id"]) for line in read_journal()])
