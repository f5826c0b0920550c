"""A connection that breaks while tasks are sent: none of them runs twice."""

import pytest

from handlers.external import apps
from handlers.models import Delivery, DeliveryAttempt, Destination
from handlers.outbox import publish
from handlers.tracking.reports import reports_queue
from handlers.tracking.transmit import Sent, transmit
from handlers.types import Message
from tests.brokers import AnyBroker
from tests.cutting_proxy import CuttingProxy
from tests.sample_data import change
from tests.servers import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]

NUMBER = 150


@pytest.fixture
def proxy(shop_broker, destination):
    proxy = CuttingProxy(shop_broker.url)
    Destination.objects.update(broker=proxy.url)
    yield proxy
    proxy.close()


def test_a_batch_that_arrived_in_part_runs_each_task_once(scene, shop, proxy):
    scene.mapping(report_timeout=600)
    shop.worker()
    proxy.limit = 100_000

    scene.record(*(change(records=[f"001{number:012}AAA"]) for number in range(NUMBER)))

    assert proxy.limit is None
    wait_for(lambda: scene.send_due() == 0, what="all that was certainly not sent to be sent")
    [last] = scene.record(change(records=["001000000009999AAA"]))
    # The worker runs one task after the other, so that all that arrived before have run by then.
    scene.wait_until(Delivery.objects.filter(pk=last, state="succeeded").exists)
    Delivery.objects.filter(state="queued").update(claim_deadline=scene.later(seconds=-1))
    scene.wait_until(lambda: set(scene.states) == {"succeeded"})
    assert len({entry for _, _, entry, _ in shop.lines}) == len(shop.lines) == NUMBER + 1
    # Only the ones that were in doubt needed a second attempt.
    unknown = DeliveryAttempt.objects.filter(outcome="unknown").count()
    assert [attempt for *_, attempt in shop.lines].count(2) == unknown < 100


@pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True)
def test_rabbitmq_confirms_what_arrived(shop_broker, destination, proxy):
    kwargs = {"event": "x" * 1000}
    messages = [
        Message([pk], 0, "shop.sync", reports_queue(), kwargs, is_external=True)
        for pk in range(NUMBER)
    ]
    app = apps.app_of(Destination.objects.get())
    publish.declare(app, {reports_queue()})
    proxy.limit = 100_000
    sent, again = Sent(), Sent()

    transmit(app, messages, sent)
    assert sent.failure is not None
    arrived = AnyBroker("rabbitmq", shop_broker.url).waiting(reports_queue())
    # How many were written before the connection's end was noticed depends on the machine.
    assert arrived < NUMBER
    assert len(sent.arrived) <= arrived <= len(sent.arrived) + len(sent.uncertain) <= NUMBER

    transmit(app, messages, again)
    assert (again.arrived, again.failure) == (messages, None)
