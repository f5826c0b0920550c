"""A worker runs a delivery: claim → load → run → settle."""

import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers import Retry
from handlers.models import Delivery, DeliveryAttempt
from handlers.sdk.outcomes import Succeeded
from handlers.types import ClaimLost
from handlers.worker.claim import claim
from handlers.worker.settle import backoff, settle
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal, written_groups

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def deliver(listener, handler, *messages, **fields):
    mapping = make_mapping(listener, handler=handler, **fields)
    ingest(listener, lease_of(listener), received(*(messages or [change()])), [mapping])
    return list(Delivery.objects.filter(mapping=mapping).order_by("id"))


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk, state="retrying").update(due_at=timezone.now())


def test_a_handler_that_returns_has_succeeded(listener):
    [delivery] = deliver(listener, "tests.remember")

    assert run_delivery(delivery.pk) == "succeeded"

    delivery.refresh_from_db()
    [attempt] = delivery.all_attempts
    assert (delivery.state, delivery.attempts, delivery.error) == ("succeeded", 1, "")
    assert (attempt.number, attempt.outcome) == (1, "succeeded")
    assert attempt.worker == socket.gethostname()
    assert not DeliveryAttempt.objects.exists()  # the delivery tells it
    assert delivery.started_at <= delivery.finished_at
    assert delivery.claim_deadline is None


def test_a_second_copy_of_a_message_runs_nothing(listener):
    [delivery] = deliver(listener, "tests.remember")
    run_delivery(delivery.pk)

    assert run_delivery(delivery.pk) == "not claimed"

    assert len(read_journal()) == 1


def test_what_a_handler_raises_is_logged_without_what_it_says(listener, caplog):
    [delivery] = deliver(listener, "tests.fail")

    with caplog.at_level("WARNING", logger="handlers"):
        run_delivery(delivery.pk)

    [line] = [one.getMessage() for one in caplog.records if "of delivery" in one.getMessage()]
    assert "ValueError" in line
    assert "sample_handlers.py:" in line
    assert listener.name in line
    delivery.refresh_from_db()
    assert delivery.error == "ValueError: this handler always fails"
    assert "always fails" not in line


def test_skipped_says_why(listener):
    [delivery] = deliver(listener, "tests.skip")

    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.error) == ("skipped", "nothing to do")


def test_a_failure_is_kept_with_its_traceback_and_retried_until_it_is_dead(listener):
    [delivery] = deliver(listener, "tests.fail", max_attempts=3)

    for _ in range(3):
        assert run_delivery(delivery.pk) == "failed"
        make_due(delivery)
    assert run_delivery(delivery.pk) == "not claimed"

    delivery.refresh_from_db()
    attempts = DeliveryAttempt.objects.order_by("number")
    assert (delivery.state, delivery.attempts) == ("dead", 3)
    assert delivery.error == "ValueError: this handler always fails"
    assert [attempt.outcome for attempt in attempts] == ["failed"] * 3
    assert "in fail" in attempts[0].traceback


def test_a_handler_that_fails_and_then_succeeds_is_counted_from_one(listener):
    [delivery] = deliver(listener, "tests.fail_twice")

    for _ in range(3):
        run_delivery(delivery.pk)
        make_due(delivery)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("succeeded", 3)
    assert [line["attempt"] for line in read_journal()] == [1, 2, 3]


def test_retry_asks_for_another_attempt(listener):
    [delivery] = deliver(listener, "tests.retry_once")

    assert run_delivery(delivery.pk) == "failed"
    assert run_delivery(delivery.pk) == "succeeded"

    outcomes = DeliveryAttempt.objects.order_by("number").values_list("outcome", flat=True)
    assert list(outcomes) == ["retry", "succeeded"]


def test_a_delivery_is_not_claimed_before_it_is_due(listener):
    [delivery] = deliver(listener, "tests.fail")
    run_delivery(delivery.pk)
    Delivery.objects.update(due_at=timezone.now() + timedelta(minutes=5))

    assert run_delivery(delivery.pk) == "not claimed"


def test_the_mapping_decides_about_attempts_before_the_handler(listener):
    [by_handler] = deliver(listener, "tests.one_try")
    [by_mapping] = deliver(listener, "tests.one_try", max_attempts=2)

    run_delivery(by_handler.pk)
    run_delivery(by_mapping.pk)

    by_handler.refresh_from_db()
    by_mapping.refresh_from_db()
    assert (by_handler.state, by_mapping.state) == ("dead", "retrying")


def test_atomic_rolls_back_the_handlers_writes_with_its_failure(listener):
    [delivery] = deliver(listener, "tests.write_group", options={"fail": True})

    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.state == "retrying"
    assert written_groups().count() == 0


def test_without_atomic_the_handlers_writes_stay(listener):
    [delivery] = deliver(listener, "tests.write_group_apart")

    run_delivery(delivery.pk)

    assert written_groups().count() == 1


def test_atomic_commits_the_handlers_writes_with_its_success(listener):
    [delivery] = deliver(listener, "tests.write_group")

    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert delivery.state == "succeeded"
    assert written_groups().count() == 1


@pytest.mark.parametrize("since", [{"attempts": 2}, {"state": "ready"}], ids=str)
def test_a_lost_claim_settles_nothing(listener, since):
    [delivery] = deliver(listener, "tests.remember")
    [lost] = claim([delivery.pk])
    Delivery.objects.filter(pk=delivery.pk).update(**since)

    with pytest.raises(ClaimLost):
        settle(lost, Succeeded())

    assert DeliveryAttempt.objects.count() == 0


def test_the_next_of_a_record_begins_when_the_one_before_has_ended(listener):
    first, second = deliver(listener, "tests.fail", change(), change(), max_attempts=2)
    assert run_delivery(second.pk) == "not claimed"

    run_delivery(first.pk)
    second.refresh_from_db()
    assert second.state == "blocked"

    make_due(first)
    run_delivery(first.pk)
    second.refresh_from_db()
    assert (second.state, second.attempts) == ("ready", 0)  # the relay publishes it


def test_another_record_does_not_wait_for_a_failing_one(listener):
    failing, other = deliver(listener, "tests.fail", change(), change(records=["001B"]))
    run_delivery(failing.pk)

    assert run_delivery(other.pk) == "failed"


def test_a_delivery_whose_mapping_was_deleted_is_skipped(listener):
    [delivery] = deliver(listener, "tests.remember")
    delivery.mapping.delete()

    run_delivery(delivery.pk)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.error) == ("skipped", "its handler mapping was deleted")
    assert read_journal() == []


def test_back_off_stays_under_its_ceiling(settings):
    settings.CDC_RETRY_BASE_SECONDS, settings.CDC_RETRY_CAP_SECONDS = 2.0, 30.0

    for attempt, ceiling in [(1, 2), (2, 4), (4, 16), (5, 30), (500, 30)]:
        assert all(0 <= backoff().delay(attempt) <= ceiling for _ in range(50))


@pytest.mark.parametrize("after", [-1, float("inf"), float("nan"), 1e15])
def test_a_retry_after_no_real_time_is_refused(after):
    with pytest.raises(ValueError, match="give seconds"):
        Retry(after=after)
