from contextlib import contextmanager
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from consumer.ingest.transaction import ingest
from handlers.external import apps
from handlers.models import Delivery, Destination
from handlers.outbox import publish
from handlers.tracking import redis_reports
from handlers.tracking.courier import Courier
from handlers.tracking.overdue import end_unreported
from handlers.tracking.reports import reports_queue
from listeners.clock import database_clock
from tests import brokers
from tests.brokers import AnyBroker
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import PATIENCE_SECONDS, RedisServer, wait_for
from tests.shop.process import Shop


@pytest.fixture(autouse=True)
def no_applications_of_other_tests():
    apps.forget()
    yield
    apps.forget()


@pytest.fixture
def shop_broker(request, tmp_path):
    """The broker of the other project."""
    if getattr(request, "param", "valkey") == "rabbitmq":
        server = request.getfixturevalue("_rabbitmq")
        brokers.empty(server.url, ["celery", reports_queue()])
        yield server
    else:
        with RedisServer(tmp_path) as server:
            yield server


@pytest.fixture
def shop(shop_broker, tmp_path):
    project = Shop(shop_broker.url, tmp_path)
    yield project
    project.close()


@pytest.fixture
def destination(transactional_db, shop):
    return Destination.objects.create(name="shop", broker=shop.broker_url)


def _counter(destination, result: str) -> float:
    name = destination.name if destination else ""
    labels = {"destination": name, "result": result}
    return REGISTRY.get_sample_value("cdc_task_reports_total", labels) or 0.0


class Scene:
    """A listener whose changes go to the tasks of the other project."""

    def __init__(self, listener, destination) -> None:
        self.listener, self.destination = listener, destination
        self._counted_before = {
            result: _counter(destination, result)
            for result in ("settled", "late", "forged", "compressed", "error")
        }

    def mapping(self, task="shop.sync", on="create", **fields):
        fields = {"destination": self.destination, "max_attempts": 3, **fields}
        return make_mapping(self.listener, on, handler="", task=task, **fields)

    def record(self, *changes):
        """Record changes and send what can start; return the ids of new deliveries."""
        mappings = list(self.listener.mappings.all())
        messages = received(*(changes or [change()]))
        done = ingest(self.listener, lease_of(self.listener), messages, mappings)
        publish.publish(done.to_publish.ids, database_clock.now())
        return done.to_publish.ids

    def send_due(self) -> int:
        now = database_clock.now()
        ready = Delivery.objects.ready() | Delivery.objects.retry_due(now)
        return publish.publish(list(ready.values_list("pk", flat=True)), now)

    @contextmanager
    def reading(self):
        """A courier; yields a function that handles a batch of reports."""
        courier = Courier(self.destination)
        with courier.reading() as queue:
            yield lambda: courier.handle_batch(queue)

    def wait_until(self, condition, seconds: float = PATIENCE_SECONDS) -> None:
        """Read reports, end overdue attempts and send retries until the condition is true."""
        with self.reading() as handle:

            def is_met():
                if handle():
                    publish.publish(end_unreported(self.destination), database_clock.now())
                self.send_due()
                return condition()

            wait_for(is_met, seconds=seconds, what=f"states {self.states}")

    def now(self):
        return database_clock.read()

    def let_the_deadline_pass(self) -> None:
        """End the time for reports now. A short one could pass before a slow worker starts the
        task, which it would then discard."""
        assert Delivery.objects.update(claim_deadline=self.later(seconds=-1))

    def later(self, *, seconds: float):
        return self.now() + timedelta(seconds=seconds)

    def counted(self, result: str) -> float:
        """How many reports of this destination the courier counted as such in this test."""
        return _counter(self.destination, result) - self._counted_before.get(result, 0.0)

    def wait_for_count(self, result: str, number: int, handle) -> None:
        def is_counted():
            handle()
            return self.counted(result) >= number

        wait_for(is_counted, what=f"{number} reports counted as {result}")
        assert self.counted(result) == number

    def waiting_reports(self) -> int:
        return AnyBroker("valkey", self.destination.broker.reveal()).waiting(reports_queue())

    @property
    def states(self):
        return list(Delivery.objects.order_by("id").values_list("state", flat=True))

    def wait_for_states(self, *states: str, seconds: float = PATIENCE_SECONDS) -> None:
        self.wait_until(lambda: self.states == list(states), seconds)


@pytest.fixture
def scene(listener, destination, settings):
    settings.CDC_RETRY_BASE_SECONDS = 0.1
    return Scene(listener, destination)


@pytest.fixture
def held_locks(monkeypatch):
    """Let no courier lose the right to read on Redis because it is slow."""
    monkeypatch.setattr(redis_reports, "LOCK_SECONDS", 600)


@pytest.fixture
def sent(transactional_db, scene):
    """The id of a delivery whose task was sent and is not run by anyone."""
    scene.mapping()
    [pk] = scene.record()
    return pk
