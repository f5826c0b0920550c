"""The test of a destination connects, asks the workers there, and says what is missing."""

import pytest
from redis import Redis

from audit.action_log import Actor
from audit.models import OperatorAction
from consumer.diagnostics.destination_check import checked
from handlers.models import Destination
from tests.handlers.external.test_inspection import shop_worker
from tests.sample_data import make_mapping
from tests.servers import RedisServer, free_port, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
    pytest.mark.process,
]
SECRET = "s3cret-word"


@pytest.fixture(scope="module")
def shop_broker(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("shop")) as server:
        yield server


def findings(destination: Destination) -> tuple[list[str], list[str]]:
    """Return the texts of all findings, and of the failures."""
    found = list(checked(destination, Actor("ann", "command")))
    assert SECRET not in str(found)
    return [one.text for one in found], [one.text for one in found if one.is_failure]


def findings_of_a_whole_answer(shop: Destination) -> tuple[list[str], list[str]] | None:
    """Return the findings, or None if the worker answered a part of the questions in time."""
    texts, failures = findings(shop)
    worker = texts[1]
    is_whole = worker.startswith("worker a@shop: Celery 5.") and worker.endswith(
        "; 1 queue (crm); 1 task (shop.tasks.sync_account)"
    )
    return (texts, failures) if is_whole else None


@pytest.mark.usefixtures("patient")
def test_workers_are_shown_with_their_version_queues_and_tasks(shop_broker, tmp_path, listener):
    shop = Destination.objects.create(name="shop", broker=shop_broker.url)
    make_mapping(listener, handler="", task="shop.tasks.a", queue="crm", destination=shop)
    make_mapping(listener, handler="", task="shop.tasks.other", queue="slow", destination=shop)

    with shop_worker(tmp_path, shop_broker.url):
        # It may begin to listen between the questions, and answer some of them too late.
        texts, failures = wait_for(lambda: findings_of_a_whole_answer(shop))

    assert texts[0] == f"broker: connected to {shop_broker.url}"
    assert failures == ["workers: none that answered consumes the queue slow, which a mapping uses"]
    action = OperatorAction.objects.latest("id")
    assert (action.object_type, action.details) == ("destination", {"works": False})


@pytest.mark.usefixtures("patient")
def test_it_leaves_no_connection_open(shop_broker):
    shop = Destination(name="shop", broker=shop_broker.url, result_backend=shop_broker.url)
    with Redis.from_url(shop_broker.url) as client:

        def connected() -> int:
            return int(client.info("clients")["connected_clients"])

        before = connected()
        findings(shop)

        wait_for(lambda: connected() == before, what="closed connections")


@pytest.mark.usefixtures("patient")
def test_without_a_worker_it_is_said_what_happens_to_tasks(shop_broker):
    texts, failures = findings(Destination(name="shop", broker=shop_broker.url))

    assert len(texts) == 2
    assert failures[0].startswith("workers: none answered within 2 s. Start a worker")


@pytest.mark.usefixtures("patient")
def test_a_result_backend_that_is_down_is_named_as_such(shop_broker):
    backend = f"redis://:{SECRET}@127.0.0.1:{free_port()}/1"
    shop = Destination(name="shop", broker=shop_broker.url, result_backend=backend)

    _, failures = findings(shop)

    assert failures[-1].startswith("result backend: the result backend does not accept")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp", "amqps"])
def test_a_broker_that_is_down_ends_the_test(db, scheme):
    url = f"{scheme}://user:{SECRET}@127.0.0.1:{free_port()}"

    texts, failures = findings(Destination(name="shop", broker=url))

    assert texts == failures
    assert failures[0].startswith("Destination shop: the broker does not accept messages: ")


@pytest.mark.usefixtures("patient")
def test_a_wrong_login_at_rabbitmq_is_said_without_the_password(request):
    url = request.getfixturevalue("_rabbitmq").url.replace("guest:guest", f"guest:{SECRET}")

    _, failures = findings(Destination(name="shop", broker=url))

    assert "ACCESS_REFUSED" in failures[0]
