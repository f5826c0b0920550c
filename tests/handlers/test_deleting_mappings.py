"""A deleted mapping takes effect at once for every process, and its waiting deliveries are
skipped."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import ProtectedError
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.dead_letters.halt import halts
from handlers.mappings import soft_delete
from handlers.models import Delivery, Destination, HandlerMapping
from handlers.worker.run import run_deliveries
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


@pytest.fixture
def mapping(listener):
    return make_mapping(listener)


def record(listener, *messages):
    ingest(listener, lease_of(listener), received(*messages))
    return list(Delivery.objects.order_by("id"))


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def row_of(mapping):
    return HandlerMapping.with_deleted.filter(pk=mapping.pk).first()


def test_deliveries_of_one_message_are_skipped_at_once(listener, mapping):
    messages = [change(records=[f"00100000000000{number}AAA"]) for number in range(3)]
    ids = [delivery.pk for delivery in record(listener, *messages)]
    mapping.delete()

    assert run_deliveries(ids, "tests.remember") == "3 skipped"

    assert states() == ["skipped"] * 3
    assert not read_journal()


def swept():
    relay.sweep(timezone.now())
    return states()


def test_it_is_one_row_that_is_written_however_many_deliveries_it_has(
    mapping, django_assert_num_queries
):
    record(mapping.listener, change(), change())

    with django_assert_num_queries(1):
        assert mapping.delete() == (1, {"handlers.HandlerMapping": 1})

    assert not HandlerMapping.objects.exists()
    assert not mapping.listener.mappings.exists()
    assert set(Delivery.objects.values_list("mapping", "handler")) == {
        (mapping.pk, "tests.remember")
    }


def test_what_comes_after_it_goes_to_the_mapping_that_took_its_place(
    listener, mapping, django_assert_max_num_queries
):
    record(listener, change())
    mapping.delete()
    again = make_mapping(listener)

    first, second = record(listener, change())

    assert (first.mapping_id, second.mapping_id) == (mapping.pk, again.pk)
    assert swept() == ["skipped", "queued"]
    with django_assert_max_num_queries(1):  # nothing more can come: it is not looked at again
        soft_delete.skip_waiting(timezone.now())
    run_delivery(second.pk)
    assert [line["id"] for line in read_journal()] == [second.entry_id]


def test_waiting_deliveries_of_an_unregistered_handler_are_skipped(listener):
    mapping = make_mapping(listener, handler="gone.with_its_app")
    other = make_mapping(listener, "update", handler="tests.remember")
    record(listener, change(), change(), change("UPDATE", records=["001B"]))
    Delivery.objects.filter(mapping=other).update(chain=Delivery.objects.first().chain)
    Delivery.objects.filter(mapping=other).update(state="blocked")
    mapping.delete()

    assert swept() == ["skipped", "skipped", "ready"]

    ended = Delivery.objects.earliest("id")
    assert ended.error == "its handler mapping was deleted"
    assert ended.finished_at is not None


@pytest.mark.parametrize(
    "waiting",
    [
        {"state": "ready", "queued_at": timezone.now() + timedelta(days=1)},
        {"state": "blocked", "awaits_record": True},
    ],
    ids=["being sent", "awaits its record"],
)
def test_a_destination_stays_while_untracked_tasks_may_be_sent_to_it(listener, waiting):
    """Without it they would be sent to our own broker."""
    shop = Destination.objects.create(name="shop", broker="redis://localhost:1/0")
    mapping = make_mapping(
        listener, handler="", task="shop.sync", track=False, destination=shop, ordering="unordered"
    )
    record(listener, change())
    Delivery.objects.update(**waiting)
    mapping.delete()
    swept()

    assert "deleted" in shop.users()[0]
    with pytest.raises(ProtectedError):
        shop.delete()

    Delivery.objects.update(state="ready", awaits_record=False, queued_at=None)
    assert swept() == ["skipped"]
    shop.delete()
    assert not Destination.objects.exists()


def test_what_has_ended_or_runs_is_left(listener):
    mapping = make_mapping(listener, ordering="unordered")
    record(listener, *(change(records=[f"001{n}"]) for n in range(3)))
    ids = list(Delivery.objects.order_by("id").values_list("pk", flat=True))
    Delivery.objects.filter(pk=ids[0]).update(state="succeeded")
    until = timezone.now() + timedelta(minutes=1)
    Delivery.objects.filter(pk=ids[1]).update(state="running", claim_deadline=until)
    Delivery.objects.filter(pk=ids[2]).update(state="dead")
    mapping.delete()

    assert swept() == ["succeeded", "running", "dead"]

    Delivery.objects.filter(pk=ids[1]).update(state="retrying", due_at=until)  # it failed
    assert swept() == ["succeeded", "skipped", "dead"]


@pytest.mark.parametrize("state", ["ready", "queued", "blocked", "retrying"])
def test_they_are_skipped_in_steps(listener, mapping, monkeypatch, state):
    monkeypatch.setattr(soft_delete, "STEP", 2)
    monkeypatch.setattr(soft_delete, "STEPS", 2)
    record(listener, *(change(records=[f"001{n}"]) for n in range(5)))
    Delivery.objects.update(state=state, due_at=timezone.now() + timedelta(hours=1))
    mapping.delete()

    assert [soft_delete.skip_waiting(timezone.now()) for _ in range(3)] == [4, 1, 0]

    assert set(states()) == {"skipped"}


def test_what_moves_while_it_is_looked_at_is_not_overlooked(listener, mapping, monkeypatch):
    """Each time that the delivery is to be skipped, a process that moves it from state to state has
    locked it."""
    monkeypatch.setattr(soft_delete, "STEPS", 0)
    record(listener, change())
    Delivery.objects.update(state="ready")
    mapping.delete()
    to = iter(["queued", "ready"] * 3)

    def move(execute, sql, *how):
        found = execute(sql, *how)
        if sql.startswith("SELECT") and "handlers_delivery" in sql:
            Delivery.objects.update(state=next(to))
        return found

    with connection.execute_wrapper(move):
        soft_delete.skip_waiting(timezone.now())

    assert row_of(mapping).emptied_at is None


def test_a_pause_ends_with_it(listener, mapping):
    HandlerMapping.objects.update(paused_at=timezone.now())
    [delivery] = record(listener, change())
    assert delivery.paused
    mapping.delete()

    assert swept() == ["skipped"]
    delivery.refresh_from_db()
    assert not delivery.paused


def test_what_has_failed_holds_nothing_back_any_more(listener):
    mapping = make_mapping(listener, on_dead="halt")
    first, _ = record(listener, change(), change())
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True)
    mapping.delete()

    assert not halts(first)
    assert swept() == ["dead", "skipped"]
    assert not Delivery.objects.filter(halts=True).exists()


def test_its_row_goes_with_the_last_delivery_that_names_it(listener, mapping):
    record(listener, change())
    unnamed, live = make_mapping(listener, handler=""), make_mapping(listener, "update")
    mapping.delete()
    unnamed.delete()

    swept()
    assert row_of(mapping)
    assert not row_of(unnamed)

    Delivery.objects.all().delete()
    swept()
    assert not row_of(mapping)
    assert row_of(live)


def test_with_its_listener_it_goes_at_once(listener, mapping):
    mapping.delete()

    listener.delete()

    assert not row_of(mapping)
