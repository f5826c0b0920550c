"""A mapping's handler can be changed while its listener records and workers run."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.mappings.retarget import move_left_behind, move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.worker.run import run_deliveries
from listeners import clock, crash_points
from tests.at_once import in_threads, somebody_waits_for_a_lock
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer"),
]


def edit(mapping_id, handler):
    """Change the mapping's handler as the console and the API do."""
    with transaction.atomic():
        mapping = HandlerMapping.objects.select_for_update(no_key=True).get(pk=mapping_id)
        mapping.handler = handler
        mapping.save()
        move_waiting(mapping, timezone.now())


def test_what_is_just_being_recorded_moves_too(listener, monkeypatch):
    mapping = make_mapping(listener, handler="tests.skip")
    editing = []

    def reach(name):
        if name == "recorded":
            editing.extend(in_threads(lambda: edit(mapping.pk, "tests.remember")))
            wait_for(somebody_waits_for_a_lock)

    monkeypatch.setattr(crash_points, "reach", reach)
    ingest(listener, lease_of(listener), received(change()))
    editing[0].result(30)

    assert list(Delivery.objects.values_list("handler", flat=True)) == ["tests.remember"]


def test_handlers_change_while_batches_are_recorded_and_run(listener, monkeypatch):
    monkeypatch.setattr(clock, "READ_EVERY", 3600.0)  # times of one reading keep their order
    mapping = make_mapping(listener, handler="tests.remember")
    lease, records = lease_of(listener), [f"001{n}" for n in range(5)]
    is_over = threading.Event()

    def work():
        while not (is_over.is_set() and not waiting().exists()):
            for handler in ("tests.remember", "tests.skip"):
                ids = waiting().filter(handler=handler).values_list("pk", flat=True)
                if ids := list(ids[:20]):
                    run_deliveries(ids, handler)
            move_left_behind(Delivery.objects.filter(state="ready"), timezone.now())

    def go_to_and_fro():
        for _ in range(10):
            for handler in ("tests.skip", "tests.remember"):
                edit(mapping.pk, handler)

    working = in_threads(work, work)
    editing = in_threads(go_to_and_fro)
    for _ in range(20):
        ingest(listener, lease, received(*(change(records=[one]) for one in records)))
    editing[0].result(60)
    is_over.set()
    for thread in working:
        thread.result(60)

    assert Delivery.objects.filter(state__in=("succeeded", "skipped")).count() == 100
    for record in records:
        mine = Delivery.objects.filter(entry__record_id=record).order_by("started_at", "pk")
        ids = list(mine.values_list("pk", flat=True))
        assert ids == sorted(ids)


def waiting():
    return Delivery.objects.filter(state__in=("ready", "queued")).order_by("pk")


@pytest.mark.parametrize(
    ("before", "after"), [("tests.remember", "tests.skip"), ("tests.skip", "tests.remember")]
)
def test_an_edit_that_changes_lanes_waits_for_runs_that_are_just_ending(listener, before, after):
    """A worker ends the run, and then starts the record's next delivery."""
    make_mapping(listener, handler="tests.skip", entity="*")
    mapping = make_mapping(listener, handler=before, entity="Account")
    mine = Delivery.objects.filter(mapping=mapping)
    ingest(listener, lease_of(listener), received(change(), change()))
    second = mine.order_by("pk").values_list("pk", flat=True)[1]
    chain = mine.get(pk=second).chain
    running = Delivery.objects.filter(chain=chain).exclude(state="blocked")
    assert running.count() == 1
    running = Delivery.objects.filter(pk=running.get().pk)
    running.update(state="running", attempts=1, claim_deadline=timezone.now())

    with transaction.atomic():
        list(running.select_for_update())
        editing = in_threads(lambda: edit(mapping.pk, after))
        wait_for(somebody_waits_for_a_lock)
        list(mine.filter(pk=second).select_for_update(nowait=True))
    editing[0].result(30)

    assert set(mine.filter(state="blocked").values_list("handler", flat=True)) == {after}
