"""A worker calls a task with the arguments and message properties of its mapping's options."""

import pytest

from handlers.models import Delivery
from tests.sample_data import change

pytestmark = pytest.mark.django_db(transaction=True)

OPTIONS = {
    "arguments": "parts",
    "args": ["eu"],
    "kwargs": {"dry_run": True},
    "headers": {"tenant": "acme"},
    "priority": 3,
    "expires": 600,
}


@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_a_task_is_called_as_its_mapping_says(scene, shop):
    scene.mapping("shop.take_parts", options=OPTIONS)
    shop.worker()

    scene.record(change(data={"Number": 7}))

    scene.wait_for_states("succeeded")
    assert shop.lines == [("take_parts", "001000000000001AAA", 7, 1)]


def test_a_payload_that_is_too_large_is_dead_at_once(scene):
    scene.mapping("shop.sync", options={"max_bytes": 1000})

    scene.record(change(data={"Description": "x" * 2000}))

    delivery = Delivery.objects.get()
    attempt = delivery.attempt_log.get()
    assert (delivery.state, delivery.attempts, attempt.outcome) == ("dead", 1, "failed")
    assert "over the limit of 1,000" in delivery.error
    assert "Set large_payload to reference" in attempt.error
