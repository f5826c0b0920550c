"""A connection that breaks while tasks are sent: none of them runs twice."""

import pytest

from handlers.models import DeliveryAttempt, Destination
from tests.cutting_proxy import CuttingProxy
from tests.sample_data import change
from tests.servers import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_python]

NUMBER = 150


@pytest.fixture
def proxy(shop_broker, destination):
    proxy = CuttingProxy(shop_broker.url)
    Destination.objects.update(broker=proxy.url)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_a_batch_that_arrived_in_part_runs_each_task_once(scene, shop, proxy):
    scene.mapping(report_timeout=6)
    shop.worker()
    proxy.limit = 100_000

    scene.record(*(change(records=[f"001{number:012}AAA"]) for number in range(NUMBER)))

    assert proxy.limit is None
    wait_for(lambda: shop.runs, what="the first run")
    scene.wait_until(lambda: set(scene.states) == {"succeeded"}, seconds=60)
    assert len({entry for _, _, entry, _ in shop.lines}) == len(shop.lines) == NUMBER
    # Only the ones that were in doubt needed a second attempt.
    unknown = DeliveryAttempt.objects.filter(outcome="unknown").count()
    assert [attempt for *_, attempt in shop.lines].count(2) == unknown < 100
