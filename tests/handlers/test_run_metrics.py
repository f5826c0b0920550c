"""A worker counts and times the runs of one message."""

import pytest
from django.utils import timezone

from handlers.models import Delivery, DeliveryAttempt
from handlers.outbox.metrics import PUBLISHED
from handlers.worker import message_run, metrics
from handlers.worker.message_run import LATE_SECONDS, Bundle
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import deliver, publish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

FAMILIES = (
    metrics.ATTEMPTS,
    metrics.HANDLED,
    metrics.RUN_SECONDS,
    metrics.START_SECONDS,
    metrics.END_TO_END_SECONDS,
)


def counted(listener) -> dict[str, float]:
    """Return a listener's counters by name and, if they have one, outcome or state."""
    found = {}
    for sample in (
        sample for family in FAMILIES for one in family.collect() for sample in one.samples
    ):
        labels = sample.labels
        if labels["listener"] == listener.name and sample.name.endswith(("_total", "_count")):
            how = labels.get("outcome") or labels.get("state") or ""
            found[f"{sample.name} {how}".strip()] = sample.value
    return found


@pytest.mark.parametrize(
    ("handler", "number"), [("tests.remember", 1), ("tests.remember", 3), ("tests.write_group", 2)]
)
def test_each_run_of_a_message_is_counted_and_timed(make_listener, handler, number):
    """An atomic handler's run is settled in its own transaction, other runs together."""
    listener = make_listener(name=f"counted-{handler}-{number}")

    run_deliveries(deliver(listener, handler, number), handler)

    assert counted(listener) == {
        "cdc_attempts_total succeeded": number,
        "cdc_deliveries_handled_total succeeded": number,
        "cdc_handler_seconds_count": number,
        "cdc_start_seconds_count": number,
        "cdc_end_to_end_seconds_count": number,
    }


def test_a_run_whose_claim_was_lost_is_not_counted_as_settled(make_listener):
    listener, now = make_listener(name="counted-lost"), timezone.now()
    ids = deliver(listener, "tests.remember", 3)
    Delivery.objects.filter(pk=ids[0]).update(attempts=1)
    DeliveryAttempt.objects.create(delivery_id=ids[0], number=2, started_at=now, finished_at=now)

    run_deliveries(ids, "tests.remember")

    assert counted(listener)["cdc_deliveries_handled_total succeeded"] == 2
    assert counted(listener)["cdc_handler_seconds_count"] == 3


def test_the_deliveries_of_published_messages_are_counted_by_queue(make_listener):
    ids = deliver(make_listener(), "tests.remember", 3, queue="counted")

    publish(ids)

    [published] = [
        sample.value
        for family in PUBLISHED.collect()
        for sample in family.samples
        if sample.labels["queue"] == "counted" and sample.name.endswith("_total")
    ]
    assert published == 3


def test_claims_are_late_a_second_after_they_were_made(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(message_run, "LATE_SECONDS", LATE_SECONDS)
    monkeypatch.setattr(message_run, "monotonic", lambda: now)
    bundle = Bundle([1, 2])
    now += 0.9
    assert not bundle.is_late
    now += 0.2
    assert bundle.is_late

    bundle.begin([])

    assert not bundle.is_late
