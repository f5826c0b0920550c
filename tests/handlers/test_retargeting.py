"""When a mapping gets another handler, its waiting deliveries move there in the same
transaction."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.mappings import retarget
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.worker.run import run_deliveries
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


def record(listener, *messages):
    ingest(listener, lease_of(listener), received(*messages))
    return list(Delivery.objects.order_by("id"))


def moved(mapping, **fields):
    """Edit a mapping as the console, the API and the file do, and return the number of moved
    deliveries."""
    with transaction.atomic():
        for name, value in fields.items():
            setattr(mapping, name, value)
        mapping.save()
        return move_waiting(mapping, timezone.now())


def rows(*columns):
    return list(Delivery.objects.order_by("id").values_list(*columns))


@pytest.mark.parametrize(
    ("state", "then"),
    [
        ("ready", "ready"),
        ("queued", "ready"),
        ("retrying", "retrying"),
        ("blocked", "blocked"),
    ],
)
def test_what_waits_goes_to_the_new_handler(listener, state, then):
    mapping = make_mapping(listener, handler="not.there")
    record(listener, change())
    Delivery.objects.update(state=state, due_at=timezone.now(), queued_at=timezone.now())

    assert moved(mapping, handler="tests.remember", queue="crm") == 1

    assert rows("handler", "queue", "state") == [("tests.remember", "crm", then)]


@pytest.mark.parametrize(
    "target", [{"handler": "tests.remember"}, {"handler": "", "task": "elsewhere.sync"}]
)
def test_what_moves_has_no_message_any_more(listener, target):
    mapping = make_mapping(listener, handler="not.there")
    record(listener, change())
    Delivery.objects.update(state="queued", due_at=timezone.now(), queued_at=timezone.now())

    assert moved(mapping, **target) == 1

    assert rows("state", "queued_at") == [("ready", None)]
    assert relay.publish_due(timezone.now() + timedelta(minutes=1)) == 1


@pytest.mark.parametrize("state", ["succeeded", "skipped", "dead", "sent"])
def test_what_has_ended_keeps_the_name_of_the_handler_that_had_it(listener, state):
    mapping = make_mapping(listener, handler="tests.fail")
    record(listener, change())
    Delivery.objects.update(state=state)

    assert moved(mapping, handler="tests.remember") == 0

    assert rows("handler") == [("tests.fail",)]


def test_what_waits_in_a_chain_keeps_its_order(listener):
    mapping = make_mapping(listener, handler="not.there")
    deliveries = record(listener, change(), change(), change())

    assert moved(mapping, handler="tests.remember") == 3

    for delivery in deliveries:
        run_delivery(delivery.pk)
    assert [line["id"] for line in read_journal()] == [one.entry_id for one in deliveries]


def test_a_message_that_names_the_old_handler_runs_nothing(listener):
    mapping = make_mapping(listener, handler="tests.fail")
    [delivery] = record(listener, change())
    assert delivery.state == "queued"
    moved(mapping, handler="tests.remember")

    assert run_deliveries([delivery.pk], "tests.fail") == "not claimed"

    assert rows("state", "attempts") == [("ready", 0)]
    later = timezone.now() + timedelta(minutes=1)
    assert relay.publish_due(later) == 1
    assert run_deliveries([delivery.pk], "tests.remember") == "succeeded"


def test_messages_of_many_that_name_the_old_handler_run_nothing(listener):
    mapping = make_mapping(listener, handler="tests.fail", ordering="unordered")
    ids = [one.pk for one in record(listener, change(), change())]
    moved(mapping, handler="tests.remember")

    assert run_deliveries(ids, "tests.fail") == "2 not claimed"

    assert rows("attempts") == [(0,), (0,)]


def test_a_running_delivery_is_retried_by_the_new_handler(listener):
    mapping = make_mapping(listener, handler="tests.fail")
    [delivery] = record(listener, change())
    Delivery.objects.update(state="running", attempts=1, claim_deadline=timezone.now())
    assert moved(mapping, handler="tests.remember") == 0
    Delivery.objects.update(state="retrying", due_at=timezone.now(), claim_deadline=None)

    assert run_deliveries([delivery.pk], "tests.fail") == "not claimed"
    assert rows("handler", "attempts") == [("tests.remember", 1)]

    assert run_deliveries([delivery.pk], "tests.remember") == "succeeded"
    assert not Delivery.objects.get().attempt_log.filter(outcome="failed").exists()


@pytest.mark.parametrize("state", ["ready", "retrying"])
def test_the_relay_moves_what_was_left_behind_though_the_old_handler_is_registered(listener, state):
    make_mapping(listener, handler="tests.fail")
    record(listener, change())
    Delivery.objects.update(state=state, due_at=timezone.now())
    HandlerMapping.objects.update(handler="tests.remember")

    assert relay.retarget(timezone.now()) == 1

    assert rows("handler") == [("tests.remember",)]


def test_what_ran_while_its_mapping_got_another_queue_is_tried_again_on_that_one(listener):
    mapping = make_mapping(listener, queue="crm")
    record(listener, change())
    Delivery.objects.update(state="running", attempts=1, claim_deadline=timezone.now())
    assert moved(mapping, queue="slow") == 0
    Delivery.objects.update(state="retrying", due_at=timezone.now(), claim_deadline=None)

    assert relay.retarget(timezone.now()) == 1

    assert rows("queue", "attempts") == [("slow", 1)]


def test_a_mapping_that_only_records_leaves_what_waits_to_its_handler(listener):
    mapping = make_mapping(listener)
    record(listener, change())

    assert moved(mapping, handler="") == 0

    assert relay.retarget(timezone.now()) == 0
    assert rows("handler", "state") == [("tests.remember", "queued")]


def test_for_a_task_elsewhere_nothing_keeps_an_order(listener):
    mapping = make_mapping(listener, handler="not.there")
    record(listener, change(), change())
    assert rows("state") == [("ready",), ("blocked",)]

    assert moved(mapping, handler="", task="elsewhere.sync", track=False) == 2

    assert rows("handler", "is_external", "chain", "state") == [
        ("elsewhere.sync", True, "", "ready"),
        ("elsewhere.sync", True, "", "ready"),
    ]
    assert relay.publish_due(timezone.now() + timedelta(minutes=1)) == 2
    assert rows("state") == [("sent",), ("sent",)]


def test_from_a_task_elsewhere_to_a_handler_it_gets_an_order(listener):
    mapping = make_mapping(listener, handler="", task="elsewhere.sync", track=False)
    record(listener, *(change(records=[record_id]) for record_id in ("001A", "001A", "001B")))

    assert moved(mapping, handler="tests.remember", task="") == 3

    assert rows("is_external", "chain", "state") == [
        (False, f"{mapping.pk}:001A", "ready"),
        (False, f"{mapping.pk}:001A", "blocked"),
        (False, f"{mapping.pk}:001B", "ready"),
    ]


def test_what_is_being_sent_to_a_task_elsewhere_is_left_to_who_sends_it(listener):
    mapping = make_mapping(listener, handler="", task="elsewhere.sync", track=False)
    [delivery] = record(listener, change())
    now = timezone.now()
    assert Delivery.objects.claim_sending([delivery.pk], now) == [delivery.pk]

    assert moved(mapping, handler="tests.remember", task="") == 0

    Delivery.objects.mark_sent([delivery.pk], now)
    assert rows("handler", "state") == [("elsewhere.sync", "sent")]


def test_what_was_not_sent_after_all_follows(listener):
    mapping = make_mapping(listener, handler="", task="elsewhere.sync", track=False)
    [delivery] = record(listener, change())
    Delivery.objects.claim_sending([delivery.pk], timezone.now())
    moved(mapping, handler="tests.remember", task="")
    Delivery.objects.release_sending([delivery.pk], Delivery.objects.get().queued_at)

    assert relay.retarget(timezone.now()) == 1

    assert rows("handler", "is_external", "state") == [("tests.remember", False, "ready")]


def test_two_mappings_that_now_share_a_handler_share_an_order(listener):
    one = make_mapping(listener, handler="tests.remember", entity="*")
    two = make_mapping(listener, handler="tests.skip", entity="Account")
    record(listener, change())
    assert len(set(rows("chain"))) == 2

    moved(two, handler="tests.remember")

    assert {chain.partition(":")[0] for (chain,) in rows("chain")} == {str(one.pk)}
    assert sorted(state for (state,) in rows("state")) == ["blocked", "queued"]


def test_the_relay_finds_what_was_left_behind_among_many_mappings(listener, monkeypatch):
    monkeypatch.setattr(retarget, "LIMIT", 1)
    right = make_mapping(listener, "create", handler="tests.remember")
    wrong = make_mapping(listener, "update", handler="not.there")
    record(listener, change(), change("UPDATE", ["001000000000002AAA"]))
    Delivery.objects.update(state="ready")
    HandlerMapping.objects.filter(pk=wrong.pk).update(handler="tests.skip")

    assert retarget.move_left_behind(Delivery.objects.filter(state="ready"), timezone.now()) == 1

    assert rows("mapping", "handler") == [(right.pk, "tests.remember"), (wrong.pk, "tests.skip")]


def test_what_was_left_behind_is_not_moved_inside_a_transaction(listener):
    wrong = make_mapping(listener, handler="not.there")
    record(listener, change())
    HandlerMapping.objects.filter(pk=wrong.pk).update(handler="tests.skip")

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable atomic block"):
        retarget.move_left_behind(Delivery.objects.all(), timezone.now())
