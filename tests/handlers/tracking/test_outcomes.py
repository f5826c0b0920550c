"""A task of another project ends, and its delivery with it: workers without our code."""

import pytest

from handlers.models import Delivery, DeliveryAttempt
from tests.sample_data import change

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_python]


def attempts():
    return list(DeliveryAttempt.objects.order_by("id").values_list("number", "outcome"))


def test_a_task_that_succeeds_ends_its_delivery(scene, shop):
    scene.mapping()
    shop.worker()

    [pk] = scene.record()

    delivery = Delivery.objects.get(pk=pk)
    assert (delivery.state, delivery.attempts) == ("queued", 1)
    scene.wait_for_states("succeeded")
    assert shop.runs == [("sync", "001000000000001AAA", 1)]
    assert attempts() == [(1, "succeeded")]


def test_a_task_that_fails_is_sent_again_until_it_is_a_dead_letter(scene, shop):
    scene.mapping("shop.fail_first")
    scene.mapping("shop.retry_twice", on="update", max_attempts=1)
    shop.worker()

    scene.record(change(), change("UPDATE", data={"Name": "A"}, changedFields=["Name"]))

    scene.wait_for_states("succeeded", "dead")
    assert [run for run in shop.runs if run[0] == "fail_first"] == [
        ("fail_first", "001000000000001AAA", 1),
        ("fail_first", "001000000000001AAA", 2),
    ]
    # The task's own retries are within one attempt of the delivery.
    assert len([run for run in shop.runs if run[0] == "retry_twice"]) == 3
    assert sorted(attempts()) == [(1, "failed"), (1, "failed"), (2, "succeeded")]
    error = Delivery.objects.get(state="dead").error
    assert "The task failed; see the log of worker " in error
    assert "for task id delivery-" in error
