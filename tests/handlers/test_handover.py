"""A batch's deliveries are committed as queued; those that did not reach the broker are found and
published again."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.broker import BrokerUnavailable, queue_length
from handlers.models import Delivery, Handover
from handlers.outbox import handover, publish
from handlers.outbox.handover import READY_AGE
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)

LATER = READY_AGE + timedelta(seconds=1)


def delivered(listener, *changes, **mapping):
    mappings = [make_mapping(listener, **mapping)]
    return ingest(listener, lease_of(listener), received(*changes), mappings).to_publish


def records(count):
    return [change(records=[f"001{n}"]) for n in range(count)]


def waiting():
    return queue_length("cdc")


def test_a_batch_is_published_in_few_messages_and_nothing_is_left_to_find(listener, broker):
    to_publish = delivered(listener, *records(64))

    assert handover.publish(to_publish, timezone.now()) == 64

    assert waiting() == len(to_publish.messages) == 16
    assert Delivery.objects.counts() == {"queued": 64}
    assert not Handover.objects.exists()


def test_many_small_batches_are_signed_off_at_once(listener, broker, django_assert_num_queries):
    lease, mapping = lease_of(listener), [make_mapping(listener)]
    to_publish = handover.DeliveriesToPublish()
    for one in records(20):
        to_publish.add(ingest(listener, lease, received(one), mapping).to_publish)

    with django_assert_num_queries(1):
        assert handover.publish(to_publish, timezone.now()) == 20

    assert not Handover.objects.exists()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite does not wait for the disk")
def test_signing_off_waits_for_no_disk_and_what_comes_after_it_does(listener, broker):
    to_publish = delivered(listener, *records(1))

    with CaptureQueriesContext(connection) as queries:
        handover.publish(to_publish, timezone.now())

    [sign_off] = [query["sql"] for query in queries]
    with connection.cursor() as cursor:
        [after] = cursor.execute("SHOW synchronous_commit").fetchone()
    assert "set_config('synchronous_commit', 'off', true)" in sign_off
    assert after == "on"


def test_what_its_process_left_behind_is_published_by_the_relay(listener, broker):
    now = timezone.now()
    delivered(listener, *records(40))

    assert relay.publish_due(now + timedelta(seconds=4)) == 0
    assert relay.has_work(now)
    assert relay.publish_due(timezone.now() + LATER) == 40

    assert Delivery.objects.counts() == {"queued": 40}
    assert not Handover.objects.exists()
    assert not relay.has_work(timezone.now())


def test_only_unstarted_deliveries_that_were_left_behind_are_published_again(listener, broker):
    to_publish = delivered(listener, *records(3))
    publish.send(to_publish.messages)
    run_delivery(to_publish.ids[0])

    assert relay.publish_due(timezone.now() + LATER) == 2

    assert Delivery.objects.counts() == {"succeeded": 1, "queued": 2}


def test_another_listeners_deliveries_within_the_range_stay_as_they_are(make_listener, broker):
    one, other = make_listener(), make_listener()
    delivered(one, *records(1))
    theirs = delivered(other, *records(1))
    handover.publish(theirs, timezone.now())
    last = delivered(one, *records(2)[1:])
    Handover.objects.filter(pk__in=last.handovers).delete()
    Handover.objects.update(last_id=last.ids[0])

    assert handover.take_back(timezone.now() + LATER) == 1

    states = Delivery.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == ["ready", "queued", "queued"]


def test_only_what_has_waited_is_taken_back_each_to_a_message_of_its_own(listener, broker):
    recent, old = delivered(listener, *records(40)), delivered(listener, *records(40))
    in_a_moment = timezone.now() + 2 * LATER
    Handover.objects.filter(pk__in=recent.handovers).update(queued_at=in_a_moment)
    Delivery.objects.filter(pk__in=recent.ids).update(queued_at=in_a_moment)

    assert handover.take_back(timezone.now() + LATER) == 40

    assert Delivery.objects.filter(pk__in=old.ids, state="ready").count() == 40
    assert Delivery.objects.filter(pk__in=recent.ids, state="queued").count() == 40
    assert list(Handover.objects.values_list("pk", flat=True)) == recent.handovers


def test_a_broker_that_is_away_leaves_it_to_the_relay(listener, broker):
    to_publish = delivered(listener, *records(2))
    broker.stop()
    try:
        with pytest.raises(BrokerUnavailable):
            handover.publish(to_publish, timezone.now())
        with pytest.raises(BrokerUnavailable):
            relay.publish_due(timezone.now() + LATER)
        assert Delivery.objects.counts() == {"ready": 2}
    finally:
        broker.start()

    assert relay.publish_due(timezone.now() + LATER) == 2
    assert waiting() == 1


def test_what_has_no_handler_here_is_left_ready_and_named_in_no_message(listener, broker):
    to_publish = delivered(listener, *records(2), handler="not.there")

    assert (to_publish.messages, to_publish.handovers, len(to_publish.ready)) == ([], [], 2)
    assert handover.publish(to_publish, timezone.now()) == 0
    assert Delivery.objects.counts() == {"ready": 2}


def test_a_task_that_runs_elsewhere_is_claimed_before_it_is_sent(listener, broker):
    to_publish = delivered(listener, *records(2), handler="", task="elsewhere.sync", track=False)

    assert (to_publish.messages, len(to_publish.ready)) == ([], 2)
    assert handover.publish(to_publish, timezone.now()) == 2
    assert Delivery.objects.counts() == {"sent": 2}
