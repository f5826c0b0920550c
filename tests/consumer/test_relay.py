"""The relay publishes deliveries that were committed and not published, or whose message or run was
lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.db.row_count import Total
from audit.jobs import tracked
from audit.jobs.claim import SENT_AGAIN
from audit.jobs.tracked import TrackedJob
from audit.models import AuditLogFilter, Work
from cdcproject.celery import app
from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.broker import queue_length
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.outbox import handover, publish
from handlers.redelivery.request import request_matching
from handlers.redelivery.start import begin as begin_redelivery
from handlers.types import Claim
from handlers.worker.claim import claim
from tests.consumer.losing import asked
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def later():
    """A time past all age limits."""
    return timezone.now() + timedelta(minutes=30)


def deliveries(listener, *messages, **fields):
    mapping = make_mapping(listener, **fields)
    ingest(listener, lease_of(listener), received(*(messages or [change()])), [mapping])
    return list(Delivery.objects.order_by("id").values_list("id", flat=True))


def waiting():
    return queue_length("cdc")


def test_what_was_left_ready_is_published(listener, later):
    deliveries(listener)
    assert relay.has_work(timezone.now())

    assert relay.publish_due(later) == 1

    assert waiting() == 1
    assert not relay.has_work(later)


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("ready", {}),
        ("retrying", {"due_at": timezone.now()}),
        ("ready", {"paused": True}),  # and its mapping is not any more
    ],
    ids=["ready", "due for another attempt", "resumed"],
)
def test_each_kind_of_what_can_be_published_is_work(listener, later, state, fields):
    deliveries(listener)
    handover.take_back(later)
    Delivery.objects.update(state=state, **fields)
    assert relay.has_work(timezone.now())

    assert relay.publish_due(later) == 1

    assert not relay.has_work(timezone.now())


@pytest.mark.parametrize("state", ["blocked", "running", "retrying", "succeeded", "dead"])
def test_what_runs_or_waits_or_has_ended_is_no_work(listener, later, state):
    deliveries(listener)
    handover.take_back(later)
    Delivery.objects.update(state=state, due_at=later, claim_deadline=later)

    assert not relay.has_work(timezone.now())


def test_what_was_only_just_committed_is_left_to_who_committed_it(listener):
    now = timezone.now()
    deliveries(listener)

    assert relay.publish_due(now + timedelta(seconds=4)) == 0


def test_a_retry_is_published_when_it_is_due(listener):
    deliveries(listener)
    now = timezone.now()
    Delivery.objects.update(state="retrying", attempts=1, due_at=now + timedelta(seconds=10))

    assert relay.publish_due(now) == 0
    assert relay.publish_due(now + timedelta(seconds=11)) == 1

    assert Delivery.objects.get().state == "queued"


def test_deliveries_of_an_unregistered_handler_stay(listener, later):
    deliveries(listener, handler="not.there")

    assert not relay.has_work(later)
    assert relay.publish_due(later) == 0


@pytest.mark.parametrize("state", ["ready", "retrying"])
def test_they_follow_their_mapping_to_a_registered_handler(listener, later, state):
    deliveries(listener, handler="not.there")
    Delivery.objects.update(state=state, due_at=timezone.now())
    listener.mappings.update(handler="tests.remember")

    assert relay.retarget(later) == 1

    assert relay.publish_due(later) == 1


def test_deliveries_whose_message_no_worker_knew_move_too(listener, later):
    """A version that has the handler published them, and workers of an older one refused them."""
    ids = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(3)])
    Delivery.objects.update(state="queued", queued_at=timezone.now(), handler="not.there")
    listener.mappings.update(handler="not.there.either")
    assert relay.requeue_lost(later) == 0
    listener.mappings.update(handler="tests.remember")

    assert relay.retarget(later) == len(ids)

    assert relay.publish_due(later) == len(ids)
    assert waiting() == 1


@pytest.mark.parametrize("state", ["ready", "retrying", "queued"])
def test_deliveries_without_a_handler_and_a_mapping_are_skipped(listener, later, state):
    """Nothing else would end them and the deliveries behind them in their chains."""
    deliveries(listener, change(), change(), handler="not.there")
    Delivery.objects.filter(state="ready").update(
        state=state, due_at=timezone.now(), queued_at=timezone.now()
    )
    listener.mappings.all().delete()

    for _ in range(2):
        relay.sweep(later)

    found = Delivery.objects.values_list("state", "error")
    assert set(found) == {("skipped", "its handler mapping was deleted")}
    assert len(found) == 2


def test_what_the_broker_lost_is_published_again(listener, later):
    ids = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(3)])
    publish.publish(ids, timezone.now())
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()

    assert relay.requeue_lost(later) == 3

    assert waiting() == 3


def test_what_the_broker_still_holds_is_not_published_again(listener, later):
    ids = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(3)])
    publish.publish(ids, timezone.now())

    assert relay.requeue_lost(later) == 0

    assert waiting() == 3


def test_only_lost_messages_that_were_queued_long_ago_are_published_again(listener):
    ids = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(3)])
    now = timezone.now()
    publish.publish(ids[:1], now - timedelta(minutes=1))
    publish.publish(ids[1:], now)
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()

    assert relay.requeue_lost(now) == 1

    assert Delivery.objects.get(pk=ids[0]).queued_at == now


def test_deliveries_that_have_ended_take_no_place_among_the_lost(listener, later, monkeypatch):
    monkeypatch.setattr(relay, "LIMIT", 1)
    ended, lost = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(2)])
    publish.publish([ended], timezone.now() - timedelta(hours=1))
    run_delivery(ended)
    publish.publish([lost], timezone.now())
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()

    assert relay.requeue_lost(later) == 1

    assert Delivery.objects.get(pk=ended).state == "succeeded"


def test_only_what_went_to_the_queue_that_lost_it_is_published_again(listener, later):
    """Two mappings of one handler have queues of their own."""
    kept = deliveries(listener, change(records=["001A"]), queue="kept")
    lost = deliveries(listener, change("UPDATE", records=["001B"]), on="update", queue="lost")[1:]
    publish.publish([*kept, *lost], timezone.now())
    with app.connection_for_write() as connection:
        connection.default_channel.client.delete("lost")

    assert relay.requeue_lost(later) == 1

    assert (queue_length("kept"), queue_length("lost")) == (1, 1)


def begin(pk, until):
    """Claim the delivery as a worker that no longer renews its claim."""
    assert claim([pk])
    Delivery.objects.filter(pk=pk).update(claim_deadline=until)


def test_a_run_past_its_deadline_is_lost_and_retried(listener):
    [pk] = deliveries(listener)
    now = timezone.now()
    begin(pk, now - timedelta(seconds=1))

    assert relay.reclaim(now) == 1

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("retrying", 1)
    assert DeliveryAttempt.objects.get().outcome == "lost"


def test_a_run_within_its_deadline_is_left_alone(listener):
    [pk] = deliveries(listener)
    now = timezone.now()
    begin(pk, now + timedelta(seconds=1))

    assert relay.reclaim(now) == 0


def test_a_run_whose_claim_is_renewed_just_then_is_left_alone(listener, monkeypatch):
    """The database had been away, so that no worker could renew its claim."""
    [pk] = deliveries(listener)
    now = timezone.now()
    begin(pk, now - timedelta(seconds=1))

    def renewed(delivery, *_):
        Delivery.objects.update(claim_deadline=now + timedelta(seconds=60))
        return Claim(delivery, delivery.attempts, now)

    monkeypatch.setattr("consumer.relay.Claim", renewed)

    assert relay.reclaim(now) == 0

    assert Delivery.objects.get().state == "running"


def test_a_chain_whose_head_is_gone_goes_on(listener):
    first, second, third = deliveries(listener, change(), change(), change())
    Delivery.objects.filter(pk=first).delete()

    assert relay.promote_stranded() == 1

    assert Delivery.objects.get(pk=second).state == "ready"
    assert Delivery.objects.get(pk=third).state == "blocked"


def test_chains_that_await_a_record_take_no_place_among_those_without_a_head(listener, monkeypatch):
    monkeypatch.setattr(relay, "LIMIT", 1)
    reads, _, gone, next_one = deliveries(
        listener, *(change(records=[record]) for record in ("001A", "001A", "001B", "001B"))
    )
    Delivery.objects.filter(pk=reads).update(state="blocked", awaits_record=True)
    Delivery.objects.filter(pk=gone).delete()

    assert relay.promote_stranded() == 1

    assert Delivery.objects.get(pk=next_one).state == "ready"


def test_messages_that_wait_long_for_a_worker_are_not_published_again(listener):
    ids = deliveries(listener)
    publish.publish(ids, timezone.now())

    assert relay.requeue_lost(timezone.now() + timedelta(hours=5)) == 0

    assert waiting() == 1


def test_a_message_lost_from_a_queue_that_is_never_empty_is_published_again(listener):
    """Workers run deliveries that were queued long after it."""
    now = timezone.now()
    lost, newer, running = deliveries(listener, *[change(records=[f"001{n}"]) for n in range(3)])
    publish.publish([lost], now - timedelta(minutes=61))
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()
    publish.publish([newer, running], now - timedelta(minutes=59))
    assert claim([running])
    assert relay.requeue_lost(now) == 0  # they may have been in the queue together

    Delivery.objects.filter(pk=running).update(queued_at=now - timedelta(minutes=50))
    assert relay.requeue_lost(now) == 2  # both, since the running one was queued after them

    assert set(
        Delivery.objects.filter(pk__in=[lost, newer]).values_list("queued_at", flat=True)
    ) == {now}


def test_a_sweep_ends_runs_that_are_lost_and_lets_their_chains_go_on(listener):
    lost, next_one = deliveries(listener, change(), change(), max_attempts=1)
    now = timezone.now()
    begin(lost, now - timedelta(seconds=1))

    relay.sweep(now)

    assert Delivery.objects.get(pk=lost).state == "dead"
    assert Delivery.objects.get(pk=next_one).state == "ready"


def test_a_sweep_lets_go_of_what_its_mapping_does_not_hold_back_any_more(listener):
    halting, next_one = deliveries(listener, change(), change())
    Delivery.objects.filter(pk=halting).update(state="dead", halts=True, error_group="")

    relay.sweep(timezone.now())

    assert not Delivery.objects.get(pk=halting).halts
    assert Delivery.objects.get(pk=next_one).state == "ready"


def test_a_sweep_moves_what_a_mapping_left_behind(listener, later):
    deliveries(listener, handler="not.there")
    listener.mappings.update(handler="tests.remember")

    relay.sweep(later)

    assert Delivery.objects.get().handler == "tests.remember"


def test_a_sweep_publishes_what_the_broker_lost(listener, later):
    publish.publish(deliveries(listener), timezone.now())
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()

    relay.sweep(later)

    assert waiting() == 1


def test_a_sweep_skips_what_waits_for_a_deleted_mapping_and_forgets_it(listener, later):
    deliveries(listener)
    listener.mappings.get().delete()

    relay.sweep(later)

    assert Delivery.objects.get().state == "skipped"
    Delivery.objects.all().delete()
    relay.sweep(later)
    assert not HandlerMapping.with_deleted.exists()


def test_due_jobs_without_a_worker_are_started(listener, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)
    deliveries(listener)
    Delivery.objects.update(state="dead", attempts=1)
    begin_redelivery(request_matching(AuditLogFilter(state="dead"), ANN), timezone.now())
    due = timezone.now() + 2 * SENT_AGAIN
    before = waiting()

    relay.run_due(due)

    assert waiting() == before + 1
    asked(listener, timezone.now(), due_at=due)
    relay.run_due(due)
    assert waiting() == before + 2


def test_a_sweep_ends_jobs_whose_process_is_gone(db):
    TrackedJob.begin("export", ANN, {}, Total(None))

    relay.sweep(timezone.now() + 2 * tracked.SILENCE)

    assert Work.objects.get().state == "lost"
