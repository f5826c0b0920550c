"""A report that never comes: the attempt ends at its deadline, as one whose outcome is unknown."""

import pytest

from handlers.models import Delivery, DeliveryAttempt
from handlers.tracking.events import EventReader, details
from handlers.tracking.overdue import end_unreported
from tests.attempts import all_attempts
from tests.sample_data import change
from tests.servers import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]


def test_a_task_whose_worker_was_killed_is_sent_again_after_its_deadline(scene, shop):
    scene.mapping("shop.die_first", report_timeout=600)
    killed = shop.worker("-P", "solo")
    [pk] = scene.record()
    shop.wait_for_runs(1)
    killed.wait()
    scene.let_the_deadline_pass()

    scene.wait_until(DeliveryAttempt.objects.exists)

    [attempt] = DeliveryAttempt.objects.all()
    assert (attempt.outcome, attempt.worker) == ("unknown", "")
    assert "No worker reported the end of the task by " in attempt.error
    assert f"task id delivery-{pk}-1" in attempt.error

    shop.worker()
    scene.wait_for_states("succeeded")
    # A worker that takes long to start discards the attempts that have expired by then.
    assert [shop.runs[0][2], shop.runs[-1][2]] == [1, Delivery.objects.get().attempts]


def test_a_mapping_may_make_an_unknown_outcome_a_dead_letter(scene, shop, answered_surveys):
    scene.mapping("shop.sync_accounts", report_timeout=600, on_unknown="dead")
    shop.worker()
    scene.record()
    scene.let_the_deadline_pass()

    scene.wait_for_states("dead")

    error = Delivery.objects.get().error
    assert "No worker of the queue celery has registered the task shop.sync_accounts." in error
    assert Delivery.objects.get().attempts == 1


def test_a_report_that_waited_in_its_queue_past_the_deadline_counts(scene, shop):
    """Reports are read by listener processes, which may be away for longer than a timeout."""
    scene.mapping(report_timeout=600)
    shop.worker()
    scene.record()
    wait_for(scene.waiting_reports)
    scene.let_the_deadline_pass()

    scene.wait_for_states("succeeded")

    assert [attempt.outcome for attempt in all_attempts()] == ["succeeded"]


def test_a_report_after_the_deadline_changes_nothing(scene, shop):
    scene.mapping(report_timeout=600, on_unknown="dead")
    shop.worker()
    scene.record(change())
    shop.wait_for_runs(1)
    wait_for(scene.waiting_reports)
    scene.let_the_deadline_pass()
    end_unreported(scene.destination)
    assert scene.states == ["dead"]

    with scene.reading() as handle:
        scene.wait_for_count("late", 1, handle)

    assert scene.states == ["dead"]
    assert DeliveryAttempt.objects.count() == 1


def test_the_error_of_a_task_that_expired_says_so(scene, shop):
    scene.mapping("shop.sync", report_timeout=600, on_unknown="dead", options={"expires": 1})
    [pk] = scene.record()
    expired_at = scene.later(seconds=1)
    wait_for(lambda: scene.now() > expired_at)
    reader = EventReader(scene.destination)
    with reader.reading() as connection:
        reader.handle_batch(connection)  # subscribes
        shop.worker("-E", "-n", "one@shop")

        def is_discarded():
            reader.handle_batch(connection)
            if event := details.pop(scene.destination.pk, pk, 1):
                details.add(event)
            return event and event.is_expired

        wait_for(is_discarded)
    assert scene.states == ["queued"], "an event decides no outcome"
    scene.let_the_deadline_pass()

    scene.wait_for_states("dead")

    [attempt] = DeliveryAttempt.objects.all()
    assert attempt.outcome == "unknown"
    assert attempt.error.startswith("The task expired: one@shop discarded it.")
    assert shop.runs == []


def test_a_task_that_was_not_started_in_time_is_not_run_beside_its_successor(scene, shop):
    mapping = scene.mapping(report_timeout=3)
    scene.record(change())
    mapping.report_timeout = 600  # of the successor
    mapping.save()
    scene.wait_until(DeliveryAttempt.objects.exists)

    shop.worker()
    scene.wait_for_states("succeeded")

    assert [run[2] for run in shop.runs] == [Delivery.objects.get().attempts]
