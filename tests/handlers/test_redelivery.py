"""Recorded changes are redelivered to their handlers, each record's in order."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogFilter
from cdcproject.celery import app
from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.broker import queue_length
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping, Redelivery
from handlers.outbox import publish
from handlers.redelivery import new_handlers, start
from handlers.redelivery.request import (
    Contradiction,
    RedeliveryRequest,
    Row,
    Verdict,
    request_matching,
    sent,
)
from handlers.redelivery.start import counted
from tests.at_once import in_threads
from tests.attempts import all_attempts
from tests.clock import a_moment_ago
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

State = Delivery.State


def deliver(listener, *messages, handler="tests.remember", **fields):
    mapping = make_mapping(listener, handler=handler, **fields)
    ingest(listener, lease_of(listener), received(*messages), [mapping])
    return list(Delivery.objects.filter(mapping=mapping).order_by("id"))


def again(*deliveries, **wanted):
    ids = [one.pk for one in deliveries]
    return redeliver(
        RedeliveryRequest(ANN, Delivery.objects.filter(pk__in=ids), **wanted), timezone.now()
    )


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def run_all():
    """Run deliveries as workers would, until none can begin."""
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").first():
        run_delivery(ready.pk)


def test_a_dead_letter_starts_over_with_all_its_attempts(listener):
    [delivery] = deliver(listener, change(), handler="tests.fail", max_attempts=2)
    Delivery.objects.update(
        state="dead", attempts=2, error="ValueError", finished_at=timezone.now()
    )

    redelivery, counts = again(delivery, reason="mended")

    assert counts == {Row("tests.fail", "dead", Verdict.SENT_AGAIN): 1}
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.attempts_before) == ("queued", 2, 2)
    assert (delivery.error, delivery.finished_at) == ("", None)
    run_delivery(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("retrying", 3)
    Delivery.objects.update(due_at=a_moment_ago())
    run_delivery(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("dead", 4)
    assert (redelivery.requested_by, redelivery.reason, redelivery.count) == ("ann", "mended", 1)
    assert set(DeliveryAttempt.objects.values_list("number", "redelivery")) == {
        (3, redelivery.pk),
        (4, redelivery.pk),
    }


def test_a_first_attempt_that_succeeded_stays_in_the_history(listener):
    [delivery] = deliver(listener, change())
    run_delivery(delivery.pk)
    [before] = all_attempts()

    again(delivery)

    [kept] = DeliveryAttempt.objects.all()
    for name in ("number", "outcome", "started_at", "finished_at", "worker", "redelivery"):
        assert getattr(kept, name) == getattr(before, name)
    delivery.refresh_from_db()
    assert delivery.all_attempts == [kept]
    run_delivery(delivery.pk)
    assert [(one.number, one.redelivery is None) for one in all_attempts()] == [
        (1, True),
        (2, False),
    ]


def test_the_first_back_off_after_it_is_as_short_as_at_the_beginning(listener, settings):
    settings.CDC_RETRY_BASE_SECONDS, settings.CDC_RETRY_CAP_SECONDS = 2.0, 10_000.0
    [delivery] = deliver(listener, change(), handler="tests.fail", max_attempts=100)
    Delivery.objects.update(state="dead", attempts=50)

    again(delivery)
    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.due_at - timezone.now() < timedelta(seconds=3)


@pytest.mark.parametrize("state", ["succeeded", "skipped", "dead", "sent"])
def test_one_that_has_ended_is_sent_again(listener, state):
    [delivery] = deliver(listener, change())
    Delivery.objects.update(state=state)

    _, counts = again(delivery)

    assert sent(counts) == 1
    assert states() == ["queued"]


@pytest.mark.parametrize("state", ["ready", "queued", "running", "blocked"])
def test_one_that_is_on_its_way_is_counted_and_left_alone(listener, state):
    [delivery] = deliver(listener, change())
    Delivery.objects.update(state=state, claim_deadline=a_moment_ago())

    redelivery, counts = again(delivery)

    assert counts == {Row("tests.remember", state, Verdict.ON_ITS_WAY): 1}
    delivery.refresh_from_db()
    assert (delivery.state, delivery.redelivery, redelivery.count) == (state, None, 0)


def test_one_that_waits_for_its_retry_is_tried_now(listener):
    [delivery] = deliver(listener, change(), handler="tests.fail")
    run_delivery(delivery.pk)
    Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))

    redelivery, _ = again(delivery)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts_before) == ("queued", 1)
    assert delivery.redelivery == redelivery


def test_the_changes_of_a_record_are_sent_again_one_after_the_other(listener):
    deliveries = deliver(listener, *(change() for _ in range(4)), change(records=["001B"]))
    Delivery.objects.update(state="succeeded")

    again(*reversed(deliveries))

    assert states() == ["queued", "blocked", "blocked", "blocked", "queued"]
    run_all()
    record = [line["id"] for line in read_journal() if line["record"] != "001B"]
    assert record == [one.entry_id for one in deliveries[:4]]
    assert states() == ["succeeded"] * 5


def test_it_waits_for_what_runs_and_goes_before_what_waits(listener):
    first, second, _ = deliver(listener, change(), change(), change())
    now = timezone.now()
    Delivery.objects.filter(pk=first.pk).update(state="dead")
    Delivery.objects.filter(pk=second.pk).update(state="running", claim_deadline=now, attempts=1)

    again(first)

    assert states() == ["blocked", "running", "blocked"]
    Delivery.objects.filter(pk=second.pk).update(state="succeeded", claim_deadline=None)
    relay.promote_stranded()
    assert states() == ["ready", "succeeded", "blocked"]


def test_it_goes_before_what_waits_behind_it(listener):
    first, _ = deliver(listener, change(), change())
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True)

    again(first)

    first.refresh_from_db()
    assert (first.state, first.halts) == ("queued", False)
    assert states() == ["queued", "blocked"]


def test_it_waits_behind_one_whose_record_is_not_read_yet(listener):
    first, second = deliver(listener, change(), change())
    Delivery.objects.filter(pk=first.pk).update(state="blocked", awaits_record=True)
    Delivery.objects.filter(pk=second.pk).update(state="dead")

    again(second)

    assert states() == ["blocked", "blocked"]


def test_what_was_stranded_before_it_begins(listener):
    first, second = deliver(listener, change(), change())
    Delivery.objects.filter(pk=first.pk).update(state="blocked")
    Delivery.objects.filter(pk=second.pk).update(state="dead")

    again(second)

    assert states() == ["queued", "blocked"]


def test_it_goes_where_its_mapping_points_now(listener):
    [delivery] = deliver(listener, change(), handler="tests.fail")
    Delivery.objects.update(state="dead")
    HandlerMapping.objects.update(handler="tests.remember", queue="special", ordering="unordered")

    again(delivery)

    delivery.refresh_from_db()
    assert (delivery.handler, delivery.queue, delivery.chain) == ("tests.remember", "special", "")


@pytest.mark.parametrize(
    ("change_mapping", "reason"),
    [
        (lambda: HandlerMapping.objects.all().delete(), "its handler mapping was deleted"),
        (
            lambda: HandlerMapping.objects.update(handler=""),
            "its mapping no longer has a handler",
        ),
        (
            lambda: HandlerMapping.objects.update(handler="not.there"),
            "no handler is registered under the name 'not.there'",
        ),
    ],
    ids=["deleted", "emptied", "unregistered"],
)
def test_what_is_not_possible_is_named(listener, change_mapping, reason):
    [delivery] = deliver(listener, change())
    Delivery.objects.update(state="dead")
    change_mapping()

    _, counts = again(delivery)

    assert counts == {Row("tests.remember", "dead", Verdict.NOT_POSSIBLE, reason): 1}
    assert states() == ["dead"]


def test_a_task_that_runs_elsewhere_is_sent_again(listener):
    [delivery] = deliver(
        listener, change(), handler="", task="elsewhere.run", track=False, queue="other"
    )
    publish.publish([delivery.pk], timezone.now())
    assert states() == ["sent"]

    again(delivery)

    assert states() == ["sent"]
    assert queue_length("other") == 2


def test_the_filter_restricts_deliveries_and_not_only_entries(listener):
    mappings = [make_mapping(listener, handler=name) for name in ("tests.remember", "tests.fail")]
    ingest(listener, lease_of(listener), received(change()), mappings)
    Delivery.objects.filter(handler="tests.fail").update(state="dead")
    Delivery.objects.filter(handler="tests.remember").update(state="succeeded")

    for wanted in (AuditLogFilter(state="failed"), AuditLogFilter(handler="tests.fail")):
        assert list(request_matching(wanted, ANN).deliveries) == [
            Delivery.objects.get(state="dead")
        ]
    assert request_matching(AuditLogFilter(entity="Account"), ANN).deliveries.count() == 2
    assert request_matching(AuditLogFilter(entity="Contact"), ANN).deliveries.count() == 0


def test_a_count_beforehand_is_what_then_is_done(listener):
    deliveries = deliver(listener, *(change(records=[f"001{n}"]) for n in range(6)))
    for delivery, state in zip(deliveries, ["dead", "dead", "succeeded", "sent"], strict=False):
        Delivery.objects.filter(pk=delivery.pk).update(state=state)
    wanted = request_matching(AuditLogFilter(), ANN)

    before = counted(wanted)

    assert not Redelivery.objects.exists()
    _, done = redeliver(wanted, timezone.now())
    assert before == done
    assert {(row.state, row.verdict.value): number for row, number in done.items()} == {
        ("dead", "sent_again"): 2,
        ("succeeded", "sent_again"): 1,
        ("sent", "sent_again"): 1,
        ("queued", "on_its_way"): 2,
    }


def test_it_is_done_in_steps_and_each_delivery_once(listener, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.job.ROWS", 3)
    deliver(listener, *(change(records=[f"001{n % 4}"]) for n in range(10)), handler="tests.fail")
    Delivery.objects.update(state="dead")

    redelivery, counts = redeliver(request_matching(AuditLogFilter(), ANN), timezone.now())

    assert (sent(counts), redelivery.count) == (10, 10)
    assert sorted(states()) == ["blocked"] * 6 + ["queued"] * 4


def test_a_mapping_that_came_later_gets_what_it_never_had_when_asked_to(listener):
    [delivery] = deliver(listener, change(), change("DELETE"))
    Delivery.objects.update(state="succeeded")
    late = make_mapping(listener, handler="tests.skip")

    redeliver(request_matching(AuditLogFilter(), ANN), timezone.now())
    assert not Delivery.objects.filter(mapping=late).exists()

    wanted = request_matching(AuditLogFilter(handler="tests.skip"), ANN, new_handlers=True)
    before = counted(wanted)
    redelivery, done = redeliver(wanted, timezone.now())

    assert before == done == {Row("tests.skip", "", Verdict.FIRST_TIME): 1}
    created = Delivery.objects.get(mapping=late)
    assert (created.entry, created.state, created.redelivery) == (
        delivery.entry,
        "queued",
        redelivery,
    )
    _, once_more = redeliver(wanted, timezone.now())
    assert once_more == {Row("tests.skip", "queued", Verdict.ON_ITS_WAY): 1}


def test_changes_that_are_recorded_while_it_counts_are_not_counted(listener, monkeypatch):
    monkeypatch.setattr(start, "ROWS", 1)
    deliver(listener, change(), change())
    make_mapping(listener, handler="tests.skip")
    count_page, meanwhile = new_handlers.counted, [received(change())]

    def record_and_count(*page):
        if meanwhile:
            ingest(listener, lease_of(listener), meanwhile.pop(), [])
        return count_page(*page)

    monkeypatch.setattr(new_handlers, "counted", record_and_count)
    wanted = request_matching(AuditLogFilter(handler="tests.skip"), ANN, new_handlers=True)

    assert counted(wanted) == {Row("tests.skip", "", Verdict.FIRST_TIME): 2}


def test_a_state_together_with_new_handlers_is_refused():
    with pytest.raises(Contradiction, match="leave the state out"):
        request_matching(AuditLogFilter(state="dead"), ANN, new_handlers=True)


def test_what_the_broker_does_not_take_is_left_to_the_relay(listener):
    [delivery] = deliver(listener, change())
    Delivery.objects.update(state="dead")
    with app.connection_for_write() as connection:
        connection.default_channel.client.config_set("maxmemory", "1")
    try:
        again(delivery)
        assert states() == ["ready"]
    finally:
        with app.connection_for_write() as connection:
            connection.default_channel.client.config_set("maxmemory", "0")

    assert relay.publish_due(timezone.now() + timedelta(minutes=1)) == 1


def test_it_gets_along_with_recording_and_with_workers(listener):
    mapping = make_mapping(listener)
    lease = lease_of(listener)
    is_over = threading.Event()

    def receive():
        for _ in range(8):
            messages = (change(records=[f"001{record}"]) for record in range(4))
            ingest(listener, lease, received(*messages), [mapping])

    def send_again():
        done = 0
        while done < 32:
            done += sent(redeliver(request_matching(AuditLogFilter(), ANN), timezone.now())[1])

    def work():
        while not is_over.is_set():
            for pk in Delivery.objects.filter(state__in=("ready", "queued")).values_list("id")[:5]:
                run_delivery(*pk)

    writers, workers = in_threads(receive, send_again), in_threads(work, work)
    try:
        for writer in writers:
            writer.result()
    finally:
        is_over.set()
    for worker in workers:
        worker.result()
    relay.promote_stranded()
    run_all()

    assert states() == ["succeeded"] * 32
    attempts = Delivery.objects.values_list("attempts", flat=True)
    assert len(all_attempts()) == sum(attempts) >= 64
