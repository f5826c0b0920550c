"""The error of an overtaken change shows no present value of a sensitive field either."""

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers import BatchFailed, EventData, Skipped, cdc_handler
from handlers.models import (
    Delivery,
    DeliveryAttempt,
    Destination,
    HandlerMapping,
    Redelivery,
)
from handlers.sdk.outcomes import Failed
from handlers.superseded.masking import masked_reports
from handlers.tracking import settle
from handlers.tracking.events import Event, add_error
from handlers.tracking.reports import Report
from handlers.tracking.tokens import Reported, Token
from handlers.worker.run import run_deliveries
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

RECORDED, PRESENT = "12345678", "12345678-now!"
NAME = "Acme"


def text_of(event: EventData) -> str:
    return f"cannot use {event.changed_data}"


@cdc_handler(name="tests.quote")
def quote(event: EventData) -> None:
    raise ValueError(text_of(event))


@cdc_handler(name="tests.quote_atomic", atomic=True)
def quote_atomic(event: EventData) -> None:
    raise ValueError(text_of(event))


@cdc_handler(name="tests.quote_all", batch=10)
def quote_all(events: list[EventData]) -> None:
    raise ValueError("; ".join(map(text_of, events)))


@cdc_handler(name="tests.quote_skipped")
def quote_skipped(event: EventData) -> Skipped:
    return Skipped(text_of(event))


@pytest.fixture
def listener(make_listener):
    return make_listener(sensitive_fields=["Phone"])


def overtaken(listener, **fields):
    """Return the id of a delivery that a later change of its record has overtaken."""
    mapping = make_mapping(listener, "update", ordering="unordered", **fields)
    for phone in (RECORDED, PRESENT):
        message = change("UPDATE", data={"Phone": phone, "Name": NAME})
        ingest(listener, lease_of(listener), received(message), [mapping])
    first, last = Delivery.objects.order_by("id").values_list("pk", flat=True)
    Delivery.objects.filter(pk=last).update(state="succeeded", attempts=1)
    return first


def stored(pk):
    delivery = Delivery.objects.get(pk=pk)
    attempt = DeliveryAttempt.objects.get(delivery=pk)
    return [delivery.error, attempt.error, *filter(None, [attempt.traceback])]


@pytest.mark.parametrize(
    "handler", ["tests.quote", "tests.quote_atomic", "tests.quote_all", "tests.quote_skipped"]
)
def test_what_a_handler_quotes_of_present_values_is_masked(listener, handler):
    pk = overtaken(listener, handler=handler)

    run_delivery(pk)

    for text in stored(pk):
        assert "now!" not in text
        assert RECORDED not in text
        assert "***" in text
        assert NAME in text


def test_fields_that_are_not_sensitive_are_not_masked(make_listener):
    pk = overtaken(make_listener(), handler="tests.quote")

    run_delivery(pk)

    assert all(PRESENT in text for text in stored(pk))


def report_failure(pk, monkeypatch, error):
    now = timezone.now()
    Delivery.objects.filter(pk=pk).update(
        state="queued", attempts=1, queued_at=now, claim_deadline=now
    )
    task_id = f"delivery-{pk}-1"
    monkeypatch.setattr(settle, "errors_of", lambda *_: {task_id: Failed(error, error)})
    assert settle.settle_reports([Report(Token(pk, 1, Reported.FAILED), "worker")], None)[0] == 1


def test_what_an_external_task_quotes_of_present_values_is_masked(listener, monkeypatch):
    pk = overtaken(listener, handler="", task="shop.sync")

    report_failure(pk, monkeypatch, f"cannot use {PRESENT} of {NAME}")

    assert stored(pk) == [f"cannot use *** of {NAME}"] * 3


def test_what_an_event_after_the_report_quotes_of_present_values_is_masked(listener):
    shop = Destination.objects.create(name="shop", broker="redis://shop.example/0")
    pk = overtaken(listener, handler="", task="shop.sync", destination=shop)
    now = timezone.now()
    Delivery.objects.filter(pk=pk).update(
        state="queued", attempts=1, queued_at=now, claim_deadline=now, destination=shop
    )
    settle.settle_reports([Report(Token(pk, 1, Reported.FAILED), "worker")], None)
    error = f"cannot use {PRESENT} of {NAME}"

    add_error(Event(shop.pk, pk, 1, "worker", Failed(error, error)))

    assert stored(pk) == [f"cannot use *** of {NAME}"] * 3


def test_what_an_external_task_quotes_of_changes_since_its_start_is_masked(listener, monkeypatch):
    """Present values at its start, which have changed again."""
    pk = overtaken(listener, handler="", task="shop.sync")
    message = change("UPDATE", data={"Phone": "newest-of-all"})
    ingest(listener, lease_of(listener), received(message), list(HandlerMapping.objects.all()))

    report_failure(pk, monkeypatch, f"cannot use {PRESENT}, newest-of-all")

    assert stored(pk) == ["cannot use ***, ***"] * 3


def test_an_external_task_that_was_sent_as_recorded_keeps_its_error(listener, monkeypatch):
    mapping = make_mapping(listener, "update", handler="", task="shop.sync")
    message = change("UPDATE", data={"Phone": RECORDED})
    ingest(listener, lease_of(listener), received(message), [mapping])
    pk = Delivery.objects.get().pk

    report_failure(pk, monkeypatch, f"cannot use {RECORDED}")

    assert stored(pk) == [f"cannot use {RECORDED}"] * 3  # masked for those who may not see it


@pytest.fixture
def reads(monkeypatch):
    """The listeners whose records were to be read over REST."""
    found = []
    monkeypatch.setattr("handlers.superseded.prepare.rest_of", found.append)
    return found


def overtaken_by_a_gap(listener, data):
    """Return the id of a delivery after which a change was recorded without its values."""
    mapping = make_mapping(listener, "update", handler="", task="shop.sync", ordering="unordered")
    for message in (change("UPDATE", data=data), change("GAP_UPDATE", data={})):
        ingest(listener, lease_of(listener), received(message), [mapping])
    pk = Delivery.objects.order_by("id").values_list("pk", flat=True)[0]
    Delivery.objects.exclude(pk=pk).update(state="succeeded", attempts=1, awaits_record=False)
    return pk


def test_an_error_is_withheld_if_the_present_values_are_not_recorded(listener, monkeypatch, reads):
    pk = overtaken_by_a_gap(listener, {"Phone": RECORDED, "Name": NAME})

    report_failure(pk, monkeypatch, "cannot use a value of the org")

    delivery_error, attempt_error = stored(pk)
    assert delivery_error == attempt_error
    assert "not stored" in delivery_error
    assert reads == []


def test_an_error_is_kept_if_only_other_values_are_not_recorded(listener, monkeypatch, reads):
    pk = overtaken_by_a_gap(listener, {"Name": NAME})

    report_failure(pk, monkeypatch, f"cannot use {NAME}")

    assert stored(pk) == [f"cannot use {NAME}"] * 3
    assert reads == []


def test_an_error_of_a_redelivery_as_recorded_is_kept(listener, monkeypatch):
    pk = overtaken(listener, handler="", task="shop.sync")
    redelivery = Redelivery.objects.create(as_recorded=True, requested_at=timezone.now())
    Delivery.objects.filter(pk=pk).update(redelivery=redelivery)

    report_failure(pk, monkeypatch, f"cannot use {RECORDED}")

    assert stored(pk) == [f"cannot use {RECORDED}"] * 3


def test_failures_of_many_changes_cost_as_many_queries_as_one(
    listener, django_assert_max_num_queries
):
    overtaken(listener, handler="", task="shop.sync")
    records = [f"0010000000000{number:02d}AAA" for number in range(20)]
    message = change("UPDATE", data={"Phone": "555"}, records=records)
    for _ in range(2):
        mappings = list(HandlerMapping.objects.all())
        ingest(listener, lease_of(listener), received(message), mappings)
    deliveries = list(Delivery.objects.select_related("entry__listener", "mapping"))
    failures = {delivery.pk: Failed(f"cannot use {PRESENT}, 555") for delivery in deliveries}

    with django_assert_max_num_queries(4):
        found = masked_reports(failures, deliveries)

    assert found.keys() == failures.keys()
    assert PRESENT not in found[min(found)].error


def test_a_first_attempt_of_a_chain_costs_no_query(listener, django_assert_num_queries):
    mapping = make_mapping(listener, "update", handler="", task="shop.sync")
    for phone in (RECORDED, PRESENT):
        message = change("UPDATE", data={"Phone": phone})
        ingest(listener, lease_of(listener), received(message), [mapping])
    delivery = Delivery.objects.select_related("entry__listener", "mapping").order_by("id")[0]
    delivery.attempts = 1
    failures = {delivery.pk: Failed(f"cannot use {RECORDED}")}

    with django_assert_num_queries(0):
        assert masked_reports(failures, [delivery]) == failures


@cdc_handler(name="tests.quote_each", batch=10)
def quote_each(events: list[EventData]) -> None:
    quoted = text_of(events[0])
    raise BatchFailed(dict.fromkeys(events[1:], quoted))


@pytest.mark.parametrize(("handler", "failing"), [("tests.quote_all", 3), ("tests.quote_each", 2)])
def test_what_a_batch_handler_quotes_of_other_records_is_masked(listener, handler, failing):
    """The masking of a reader knows only the values of the delivery's own change."""
    mapping = make_mapping(listener, "update", handler=handler)
    for number in range(3):
        data = {"Phone": f"secret-{number}", "Name": NAME}
        message = change("UPDATE", [f"001A0000000000{number}"], data=data)
        ingest(listener, lease_of(listener), received(message), [mapping])

    run_deliveries(list(Delivery.objects.values_list("pk", flat=True)), handler)

    failed = Delivery.objects.exclude(state="succeeded")
    assert failed.count() == failing
    for pk in failed.values_list("pk", flat=True):
        for text in stored(pk):
            assert "secret-" not in text
            assert "***" in text
            assert NAME in text


def test_what_a_batch_handler_quotes_of_one_change_is_stored(listener):
    mapping = make_mapping(listener, "update", handler="tests.quote_all")
    message = change("UPDATE", data={"Phone": RECORDED})
    ingest(listener, lease_of(listener), received(message), [mapping])
    [pk] = Delivery.objects.values_list("pk", flat=True)

    run_delivery(pk)

    assert all(RECORDED in text for text in stored(pk))  # masked for those who may not see it
