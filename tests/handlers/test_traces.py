"""Each change has one trace: received, recorded, sent, and each attempt of each handler."""

from datetime import timedelta

import pytest
from django.utils import timezone
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers import tracing
from handlers.models import Delivery
from handlers.outbox import handover
from handlers.redelivery.request import RedeliveryRequest
from handlers.tracing import tracer as change_tracer
from handlers.tracing.tracer import of_change
from handlers.worker.claim import claim
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import deliver, ids_of, make_due
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal
from tests.tracing import Made, is_error, links, parent, place

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

SECRET = "zanzibar"


@pytest.fixture
def made(monkeypatch):
    made = Made()
    monkeypatch.setattr(tracing, "spans", made.spans)
    return made


def again(pk):
    return redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=pk)), timezone.now())


def outcomes(spans):
    return [(one.attributes["cdc.attempt"], one.attributes["cdc.outcome"]) for one in spans]


def test_all_spans_of_a_change_are_in_its_trace(listener, made):
    mapping = make_mapping(listener, queue="special")
    batch = received(change(data={"Name": SECRET}))
    result = ingest(listener, lease_of(listener), batch, [mapping])
    handover.publish(result.to_publish, timezone.now())
    run_deliveries(result.to_publish.ids, "tests.remember")

    record, receive, send, process = made()
    entry = Delivery.objects.get().entry
    identity = of_change(entry.pk, entry.received_at)
    assert place(receive) == (identity.trace_id, identity.span_id)
    assert parent(receive) is None
    assert {parent(one) for one in (record, send, process)} == {place(receive)}
    assert len({place(one) for one in made()}) == 4
    assert [one.name for one in made()] == [
        "record", "receive /data/ChangeEvents", "send special", "process tests.remember",
    ]  # fmt: skip
    assert [receive.kind, send.kind, process.kind] == [
        SpanKind.PRODUCER, SpanKind.PRODUCER, SpanKind.CONSUMER,
    ]  # fmt: skip
    received_at = round(batch[0].received_at.timestamp() * 1_000_000)
    assert receive.start_time == received_at * 1000
    assert receive.start_time < record.start_time < record.end_time == receive.end_time
    assert record.end_time < send.start_time < send.end_time < process.start_time


def test_spans_name_the_change_and_hold_nothing_of_it(listener, made):
    [pk] = deliver(listener, "tests.repeat", data=[{"Name": SECRET, "Phone": SECRET}])

    run_delivery(pk)

    [receive], [process] = made("receive"), made("process")
    entry = Delivery.objects.get().entry
    about = {
        "cdc.listener": listener.name, "cdc.entity": "Account", "cdc.record_id": entry.record_id,
        "cdc.change_type": "CREATE", "cdc.entry": entry.pk,
    }  # fmt: skip
    assert about.items() <= receive.attributes.items()
    assert about.items() <= process.attributes.items()
    assert process.attributes["cdc.delivery"] == pk
    assert process.attributes["error.type"] == "ValueError"
    assert is_error(process)
    assert process.status.description is None
    assert SECRET in Delivery.objects.get().error
    assert not any(SECRET in one.to_json() for one in made())


def test_an_event_of_many_records_is_a_trace_for_each(listener, made):
    mapping = make_mapping(listener)
    many = change(records=["001000000000001AAA", "001000000000002AAA"])

    ingest(listener, lease_of(listener), received(many), [mapping])

    assert len({one.context.trace_id for one in made("receive")}) == 2
    assert [one.attributes["cdc.batch.changes"] for one in made("record")] == [2, 2]


def test_a_change_that_comes_again_is_no_new_trace(listener, made):
    message = change()
    for _ in range(2):
        ingest(listener, lease_of(listener), received(message), [])

    assert len(made("receive")) == 1


def test_each_attempt_is_a_span_and_the_failed_ones_are_errors(listener, made):
    [pk] = deliver(listener, "tests.fail_twice", 1)

    for _ in range(3):
        make_due()
        run_delivery(pk)

    [receive], attempts = made("receive"), made("process")
    assert outcomes(attempts) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert [is_error(one) for one in attempts] == [True, True, False]
    states = [one.attributes["cdc.delivery.state"] for one in attempts]
    assert states == ["retrying", "retrying", "succeeded"]
    assert {parent(one) for one in attempts} == {place(receive)}


def test_to_ask_for_another_attempt_is_an_error_once_there_is_none(listener, made):
    [pk] = deliver(listener, "tests.retry_once", 1)
    [last] = deliver(listener, "tests.retry_once", 1, max_attempts=1)

    run_delivery(pk)
    run_delivery(last)

    assert [is_error(one) for one in made("process")] == [False, True]
    assert made("process")[1].attributes["error.type"] == "retry"


def test_what_a_handler_does_is_part_of_its_attempt(listener, made):
    [pk] = deliver(listener, "tests.look_up", 1)

    run_delivery(pk)

    [process], [line] = made("process"), read_journal()
    assert (int(line["trace"], 16), int(line["span"], 16)) == place(process)
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_attempt_links_to_what_its_task_is_traced_as(listener, made):
    [pk] = deliver(listener, "tests.remember", 1)
    provider = trace.get_tracer("celery").start_as_current_span  # as a library does it
    around = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))

    with provider("nothing"), trace.use_span(trace.NonRecordingSpan(around)):
        run_delivery(pk)

    [process] = made("process")
    assert links(process) == [(1, 2)]
    assert process.parent.trace_id != 1


def test_an_atomic_handlers_rollback_is_the_error_of_its_attempt(listener, made):
    [pk] = deliver(listener, "tests.write_group", 1, options={"fail": True})

    run_delivery(pk)

    [process] = made("process")
    assert process.attributes["error.type"] == "ValueError"


def test_a_batch_is_a_span_in_each_trace_with_each_outcome(listener, made):
    fails = [{}, {"Fail": "raise"}, {"Fail": "skip"}]
    ids = deliver(listener, "tests.batch_as_told", data=fails)

    run_deliveries(ids, "tests.batch_as_told")

    first, *others = made("process")
    traces = [one.context.trace_id for one in made("receive")]
    assert [one.context.trace_id for one in (first, *others)] == traces
    assert [one.attributes["cdc.outcome"] for one in made("process")] == [
        "succeeded", "failed", "skipped",
    ]  # fmt: skip
    assert [is_error(one) for one in made("process")] == [False, True, False]
    assert links(first) == []
    assert [links(one) for one in others] == [[place(first)]] * 2


def test_a_run_whose_worker_died_is_a_span_of_the_relay(listener, made):
    [pk] = deliver(listener, "tests.remember", 1)
    assert claim([pk])
    long_ago = timezone.now() - timedelta(minutes=1)
    Delivery.objects.update(started_at=long_ago, claim_deadline=long_ago)

    relay.reclaim(timezone.now())

    [process] = made("process")
    assert parent(process) == place(made("receive")[0])
    assert outcomes([process]) == [(1, "lost")]
    assert process.attributes["error.type"] == "lost"
    assert process.start_time == 1000 * change_tracer.microseconds(long_ago) < process.end_time


def test_a_redelivery_is_a_trace_of_its_own_that_links_to_the_changes(listener, made):
    [pk] = deliver(listener, "tests.fail", 1, max_attempts=2)
    [receive] = made("receive")
    Delivery.objects.update(state="dead", attempts=2, finished_at=timezone.now())
    made.forget()

    again(pk)
    for _ in range(2):
        make_due()
        run_delivery(pk)

    first, second = made()
    assert outcomes(made()) == [(3, "failed"), (4, "failed")]
    assert first.context.trace_id != receive.context.trace_id
    assert links(first) == [place(receive)]
    assert (parent(first), parent(second)) == (None, place(first))


def test_a_message_to_a_task_elsewhere_says_where_its_trace_goes_on(listener, made, monkeypatch):
    sent = []
    monkeypatch.setattr(
        "handlers.tracking.untracked.transmit", lambda _, messages, __: sent.extend(messages)
    )
    make_mapping(listener, handler="", task="elsewhere.sync", track=False, queue="crm")
    ingest(listener, lease_of(listener), received(change()))

    relay.publish_due(timezone.now() + timedelta(seconds=60))

    [message], [receive] = sent, made("receive")
    trace_id, span_id = place(receive)
    assert message.headers == {"traceparent": f"00-{trace_id:032x}-{span_id:016x}-01"}


def test_what_is_not_sampled_is_no_span_and_nothing_that_its_handler_does(listener, monkeypatch):
    made = Made(ALWAYS_OFF)
    monkeypatch.setattr(tracing, "spans", made.spans)
    ids = [*deliver(listener, "tests.look_up", 1), *deliver(listener, "tests.batch", 2)]

    for pk in ids:
        run_delivery(pk)

    assert made() == []
    trace_id = int(read_journal()[0]["trace"], 16)
    entry = Delivery.objects.order_by("id")[0].entry
    assert trace_id == of_change(entry.pk, entry.received_at).trace_id


def test_a_ratio_picks_the_same_changes_in_every_process(listener, monkeypatch):
    here, there = Made(TraceIdRatioBased(0.5)), Made(TraceIdRatioBased(0.5))
    monkeypatch.setattr(tracing, "spans", here.spans)
    ids = deliver(listener, "tests.remember", 40)
    monkeypatch.setattr(tracing, "spans", there.spans)

    run_deliveries(ids, "tests.remember")

    received_ones = {one.context.trace_id for one in here("receive")}
    assert 0 < len(received_ones) < 40
    assert {one.context.trace_id for one in there("process")} == received_ones


class Broken(Sampler):
    def should_sample(self, _, trace_id, *__, **___):
        raise LookupError(f"this sampler is broken: {trace_id}")

    def get_description(self):
        return "broken"


def test_a_sampler_that_fails_keeps_no_change_from_its_handler(listener, monkeypatch, caplog):
    made = Made(Broken())
    monkeypatch.setattr(tracing, "spans", made.spans)
    monkeypatch.setattr(change_tracer, "_logged", set())
    ids = deliver(listener, "tests.remember", 2)

    assert [run_delivery(one) for one in ids] == ["succeeded", "succeeded"]

    assert ids_of(state="succeeded") == ids
    told = [line for line in caplog.text.splitlines() if "this sampler is broken" in line]
    assert len(told) == len(change_tracer._logged) > 1  # once for each place, not for each change


def test_two_installations_have_no_trace_in_common():
    now = timezone.now()

    assert of_change(1, now) == of_change(1, now)
    assert of_change(1, now) != of_change(1, now + timedelta(microseconds=1))
    assert of_change(1, now) != of_change(2, now)
