"""Mappings deleted or made while their listener records cause no failure and lose no change."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.log.record import with_history
from audit.models import AuditLogEntry
from consumer.ingest.transaction import ingest
from consumer.stream.buffer import Buffer
from consumer.stream.publisher import Publisher
from consumer.stream.recorder import Recorder
from handlers.mappings import soft_delete
from handlers.models import Delivery, HandlerMapping
from listeners import crash_points
from listeners.leases import LeaseLost
from tests.at_once import in_threads, somebody_waits_for_a_lock
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer"),
]


@pytest.fixture
def while_recording(listener, monkeypatch):
    """Runs a task in another thread while a batch is written and not committed. The batch is
    committed once the task has ended or, with `waits=True`, waits for a lock."""

    def begin(task, *, waits=False):
        begun = []

        def reach(name):
            if name == "recorded":
                begun.extend(in_threads(task))
                if waits:
                    wait_for(somebody_waits_for_a_lock)
                else:
                    begun[0].result(30)

        monkeypatch.setattr(crash_points, "reach", reach)
        ingested = ingest(listener, lease_of(listener), received(change()))
        begun[0].result(30)
        return ingested

    return begin


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_deleting_does_not_wait_and_the_batch_keeps_its_mappings(listener, while_recording):
    mapping = make_mapping(listener)

    assert while_recording(mapping.delete).entries == 1

    assert (Delivery.objects.get().mapping_id, states()) == (mapping.pk, ["queued"])


def test_the_clean_up_finds_deliveries_recorded_at_the_same_time_later(listener, while_recording):
    mapping = make_mapping(listener)

    def delete_and_forget():
        mapping.delete()
        soft_delete.skip_waiting(timezone.now())
        assert soft_delete.forget() == 0

    while_recording(delete_and_forget)

    assert (Delivery.objects.get().mapping_id, states()) == (mapping.pk, ["queued"])
    assert soft_delete.skip_waiting(timezone.now()) == 1
    assert soft_delete.forget() == 0
    Delivery.objects.all().delete()
    assert soft_delete.forget() == 1


def test_deleting_a_listener_sees_the_changes_that_are_being_recorded(listener, while_recording):
    """The console, the API and a configuration file delete a listener in this way."""
    make_mapping(listener)

    def delete():
        with transaction.atomic():
            assert with_history([listener]) == [listener]

    while_recording(delete, waits=True)


def test_recording_for_a_listener_that_is_being_deleted_loses_its_lease(listener):
    make_mapping(listener)
    lease = lease_of(listener)

    def recording():
        with pytest.raises(LeaseLost):
            ingest(listener, lease, received(change()))

    with transaction.atomic():
        assert with_history([listener]) == []
        [done] = in_threads(recording)
        wait_for(somebody_waits_for_a_lock)
        listener.delete()
    done.result(30)


def test_mappings_come_and_go_while_batches_are_recorded(listener):
    lease, batches = lease_of(listener), 30
    stays = make_mapping(listener, ordering="unordered")
    is_over = threading.Event()

    def come_and_go():
        while not is_over.is_set():
            make_mapping(listener).delete()
            soft_delete.skip_waiting(timezone.now())
            soft_delete.forget()

    going = in_threads(come_and_go)
    try:
        for _ in range(batches):
            assert ingest(listener, lease, received(change(), change())).entries == 2
    finally:
        is_over.set()
    going[0].result(60)
    soft_delete.skip_waiting(timezone.now())
    soft_delete.forget()

    assert AuditLogEntry.objects.count() == 2 * batches
    assert Delivery.objects.filter(mapping=stays, state="queued").count() == 2 * batches
    assert not Delivery.objects.exclude(mapping=stays).exclude(state="skipped").exists()
    named = set(Delivery.objects.values_list("mapping", flat=True))
    assert set(HandlerMapping.with_deleted.values_list("pk", flat=True)) == named


def test_a_mapping_that_vanishes_in_the_middle_of_a_batch_costs_no_change(listener, monkeypatch):
    """A script may delete the row in the database: the batch is recorded without the mapping."""
    gone, stays = make_mapping(listener), make_mapping(listener, ordering="unordered")
    reached = []

    def delete_the_row():
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM handlers_handlermapping WHERE id = %s", [gone.pk])

    def reach(name):
        if name == "recorded" and name not in reached:
            in_threads(delete_the_row)[0].result(30)
        reached.append(name)

    monkeypatch.setattr(crash_points, "reach", reach)
    buffer = Buffer(10)
    buffer.put(received(change(), change()))
    buffer.close()
    recorder = Recorder(listener, lease_of(listener), buffer, Publisher())
    recorder.thread.start()
    wait_for(lambda: not recorder.thread.is_alive())

    assert reached.count("recorded") == 2
    assert (recorder.recorded, AuditLogEntry.objects.count()) == (2, 2)
    assert set(Delivery.objects.values_list("mapping_id", flat=True)) == {stays.pk}
