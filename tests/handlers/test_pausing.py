"""The changes of a paused handler are recorded and not started; after it is resumed they run in
order."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.broker import queue_length
from handlers.mappings import pause as mappings_pause
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.outbox import publish
from handlers.redelivery.request import RedeliveryRequest
from handlers.reporting.wait_reason import waits_for
from listeners import crash_points
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal
from tests.system.verdict import assert_in_order

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


@pytest.fixture
def mapping(listener):
    return make_mapping(listener)


@pytest.fixture
def later():
    """A time at which deliveries committed now are old enough to be published."""
    return timezone.now() + timedelta(minutes=10)


def pause(mapping, reason=""):
    assert mappings_pause.pause([mapping], ANN, reason, timezone.now())


def resume(mapping):
    assert mappings_pause.resume([mapping], ANN, "", timezone.now())


def deliver(mapping, *messages):
    """Ingest messages, and publish the deliveries that are ready."""
    listener = mapping.listener
    done = ingest(listener, lease_of(listener), received(*messages))
    publish.publish(done.to_publish.ids, timezone.now())
    return list(Delivery.objects.order_by("id"))


def shown():
    rows = Delivery.objects.order_by("id")
    return list(rows.values_list("state", "paused", "attempts"))


def test_changes_during_the_pause_are_recorded_and_not_published(mapping, later):
    pause(mapping)

    deliver(mapping, change(), change(records=["001B"]))

    assert shown() == [("ready", True, 0)] * 2
    assert not relay.has_work(later)
    assert relay.publish_due(later) == 0
    relay.sweep(later)
    assert queue_length("cdc") == 0


def test_what_was_left_ready_is_set_aside_by_who_would_publish_it(mapping, later):
    ingest(mapping.listener, lease_of(mapping.listener), received(change()))
    pause(mapping)
    assert relay.has_work(later)

    assert relay.publish_due(later) == 0

    assert shown() == [("ready", True, 0)]
    assert not relay.has_work(later)


def test_what_is_in_the_broker_is_put_back_unclaimed(mapping, monkeypatch):
    [delivery] = deliver(mapping, change())
    pause(mapping)
    reached = []
    monkeypatch.setattr(crash_points, "reach", reached.append)

    assert run_delivery(delivery.pk) == "not claimed"

    assert reached == []
    assert shown() == [("ready", True, 0)]
    assert not DeliveryAttempt.objects.exists()
    assert read_journal() == []


def test_what_a_worker_puts_back_before_it_is_marked_goes_on_with_the_rest(mapping, monkeypatch):
    ingest(mapping.listener, lease_of(mapping.listener), received(change()))
    [delivery] = Delivery.objects.all()

    def met_by_a_worker(name):
        if name == "sent":
            pause(mapping)
            run_delivery(delivery.pk)

    monkeypatch.setattr(crash_points, "reach", met_by_a_worker)
    publish.publish([delivery.pk], timezone.now())

    assert shown() == [("ready", True, 0)]  # and not queued, with no message that anybody gets


def test_what_a_pause_overtakes_while_it_is_claimed_does_not_begin(mapping, monkeypatch):
    [delivery] = deliver(mapping, change())
    monkeypatch.setattr(crash_points, "reach", lambda name: name != "claimed" or pause(mapping))

    assert run_delivery(delivery.pk) == "not claimed"

    assert shown() == [("ready", True, 0)]
    assert read_journal() == []


def test_what_runs_ends_and_its_next_waits(mapping, monkeypatch):
    first, _ = deliver(mapping, change(), change())
    monkeypatch.setattr(crash_points, "reach", lambda name: name != "handled" or pause(mapping))

    assert run_delivery(first.pk) == "succeeded"

    assert shown() == [("succeeded", False, 1), ("ready", True, 0)]


def test_what_is_to_be_tried_again_is_not(listener):
    mapping = make_mapping(listener, handler="tests.fail")
    [delivery] = deliver(mapping, change())
    run_delivery(delivery.pk)
    pause(mapping)
    due = timezone.now() + timedelta(hours=1)
    Delivery.objects.update(due_at=due)

    assert relay.publish_due(due) == 0
    assert shown() == [("retrying", True, 1)]
    assert not relay.has_work(due)
    assert run_delivery(delivery.pk) == "not claimed"

    resume(mapping)
    assert relay.has_work(timezone.now())
    relay.publish_due(timezone.now())
    assert not relay.has_work(timezone.now())  # in its own time
    assert relay.publish_due(due) == 1


def test_what_is_resumed_goes_on_in_order_at_once(mapping):
    pause(mapping)
    deliver(mapping, *(change(records=[name]) for name in ("001A", "001B", "001A")))

    resume(mapping)
    assert relay.publish_due(timezone.now()) == 2

    assert shown() == [("queued", False, 0), ("queued", False, 0), ("blocked", False, 0)]
    for pk in Delivery.objects.order_by("id").values_list("pk", flat=True):
        run_delivery(pk)
    handled = [(line["record"], line["id"]) for line in read_journal()]
    assert len(handled) == 3
    assert_in_order(handled)


def test_another_handler_that_is_paused_keeps_what_waits_for_it(listener, later):
    one, other = make_mapping(listener), make_mapping(listener, handler="tests.skip")
    pause(one)
    pause(other)
    deliver(one, change())

    resume(other)
    assert relay.publish_due(later) == 1

    assert shown() == [("ready", True, 0), ("queued", False, 0)]
    assert not relay.has_work(later)


def test_in_a_shared_lane_what_follows_waits_and_says_so(mapping, later):
    other = make_mapping(mapping.listener, "update", "tests.skip")
    pause(mapping, "their API is down")
    first, second = deliver(mapping, change(), change("UPDATE"))
    assert first.chain == second.chain

    relay.sweep(later)

    assert shown() == [("ready", True, 0), ("blocked", False, 0)]
    paused = f"is paused since {HandlerMapping.objects.get(pk=mapping.pk).paused_at:%Y-%m-%d}"
    assert paused in waits_for(first).reason
    assert waits_for(second).delivery == first.pk
    assert paused in waits_for(second).reason
    pause(other)
    assert waits_for(second).delivery == first.pk
    resume(mapping)
    run_delivery(first.pk)
    assert shown() == [("succeeded", False, 1), ("ready", True, 0)]
    second.refresh_from_db()
    assert (waits_for(second).delivery, "paused" in waits_for(second).reason) == (None, True)


def test_a_task_that_runs_elsewhere_is_not_sent(listener, later):
    mapping = make_mapping(listener, handler="", task="elsewhere.sync", track=False, queue="crm")
    ingest(listener, lease_of(listener), received(change()))
    pause(mapping)

    assert relay.publish_due(later) == 0
    assert queue_length("crm") == 0

    resume(mapping)
    assert relay.publish_due(later) == 1
    assert shown() == [("sent", False, 0)]


def test_a_redelivery_queues_up_behind_the_pause(mapping, later):
    [delivery] = deliver(mapping, change())
    run_delivery(delivery.pk)
    pause(mapping)

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=delivery.pk)), timezone.now())

    assert shown() == [("ready", True, 1)]
    resume(mapping)
    relay.publish_due(later)
    assert run_delivery(delivery.pk) == "succeeded"
    assert len(read_journal()) == 2


def test_messages_lost_during_the_pause_are_set_aside_and_not_published(mapping, broker):
    deliver(mapping, change())
    pause(mapping)
    broker.client().flushall()

    relay.requeue_lost(timezone.now() + timedelta(minutes=30))

    assert shown() == [("ready", True, 0)]
    assert queue_length("cdc") == 0


def test_when_its_mapping_is_deleted_nothing_waits_for_ever(mapping, later):
    pause(mapping)
    [delivery] = deliver(mapping, change())
    mapping.delete()

    assert relay.publish_due(later) == 1

    assert run_delivery(delivery.pk) == "skipped"


def test_more_than_are_released_at_once_are_released_after_each_other(mapping):
    pause(mapping)
    deliver(mapping, *(change(records=[f"001{n}"]) for n in range(5)))
    resume(mapping)
    oldest = list(Delivery.objects.order_by("id").values_list("pk", flat=True))

    released = [mappings_pause.release_resumed(limit=2) for _ in range(4)]
    assert released == [oldest[:2], oldest[2:4], oldest[4:], []]
