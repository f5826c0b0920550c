"""The URLs of a destination are shown neither by what uses them, nor when they do not work."""

import pytest
from django.urls import reverse
from redis import Redis
from rest_framework.test import APIClient

from consumer.host.couriers import CourierReader
from consumer.ingest.transaction import ingest
from handlers.external import apps
from handlers.external.inspection import survey
from handlers.models import Destination
from handlers.outbox import publish
from listeners.clock import database_clock
from tests.api.requests import DESTINATIONS
from tests.sample_data import change, lease_of, make_mapping, received
from tests.secrecy import places
from tests.servers import RedisServer, free_port, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]
#: What the log says once a courier has met a URL that does not work.
_TROUBLES = ("background work failed", "unexpected error")


@pytest.fixture
def shop_port(tmp_path):
    apps.forget()
    with RedisServer(tmp_path) as server:
        with Redis.from_url(server.url) as client:
            client.config_set("requirepass", "another")
        yield server.port
    apps.forget()


@pytest.fixture
def used(listener, admin, admin_user, heard):
    """Uses a destination in each way; returns the answers and the log."""

    def use(destination: Destination) -> dict[str, str]:
        destination.full_clean()
        destination.save()
        make_mapping(listener, handler="", task="shop.sync", destination=destination)
        done = ingest(listener, lease_of(listener), received(change()), [*listener.mappings.all()])
        publish.publish(done.to_publish.ids, database_clock.now())
        found = survey(destination)
        courier = CourierReader(destination)
        courier.start()
        wait_for(lambda: any(one in str(heard()) for one in _TROUBLES), what="the courier")
        courier.stop()
        courier.thread.join()
        api = APIClient(raise_request_exception=False)
        api.force_authenticate(admin_user)
        tested = api.post(f"{DESTINATIONS}{destination.pk}/test/")
        assert tested.status_code == 200
        page = reverse("admin:handlers_destination_try", args=[destination.pk])
        streamed = b"".join(admin.post(page).streaming_content)
        said = {"survey": found.problem, "API": tested.text, "console": streamed.decode()}
        assert all(said.values())
        return {**said, **heard()}

    return use


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@127.0.0.1:{port}/0",  # a wrong password
        "redis://:{}@127.0.0.1:{dead}/0",
        "amqp://me:{}@127.0.0.1:{dead}//",
    ],
)
def test_one_that_does_not_work_shows_no_password(used, planted, monkeypatch, shop_port, url):
    url = url.format(planted.plain("password"), port=shop_port, dead=free_port())
    backend = f"redis://:{planted.plain('password of results')}@127.0.0.1:{shop_port}/0"
    monkeypatch.setenv("CDC_TEST_RESULTS", backend)

    said = used(Destination(name="shop", broker=url, result_backend="env:CDC_TEST_RESULTS"))

    assert planted.leaks({**said, **places.of_the_database()}) == []


UNUSABLE = [
    " redis://:{}@127.0.0.1:{port}/0",
    "redis://:{}@127.0.0.1:{port}/0 ",
    "\x01redis://:{}@127.0.0.1:{port}/0",
    "redis://:{}@127.0.0.1:{port}/\t0",
    "REDIS://:{}@127.0.0.1:{port}/0",
    "redis://:{}@127.0.0.1:{port}//0",
    "redis:/:{}@127.0.0.1:{port}/0?a=://",
    "redis://:{}/more@127.0.0.1:{port}/0",
    "redis://:{}@127.0.0.1:{port}/0/",
]


@pytest.mark.parametrize("url", [UNUSABLE[0], "REDIS://:{}@127.0.0.1:{port}/0", UNUSABLE[-1]])
def test_a_referenced_url_that_is_not_usable_shows_no_password(
    used, planted, monkeypatch, shop_port, url
):
    monkeypatch.setenv("CDC_TEST_SHOP", url.format(planted.plain("password"), port=shop_port))

    said = used(Destination(name="shop", broker="env:CDC_TEST_SHOP"))

    assert "the broker URL is not usable: " in said["survey"]
    assert planted.leaks({**said, **places.of_the_database()}) == []


@pytest.mark.parametrize("url", UNUSABLE)
@pytest.mark.parametrize("field", ["broker", "result_backend"])
def test_a_url_that_is_not_usable_is_refused_and_not_shown_again(
    admin, admin_user, planted, heard, field, url
):
    fields = {"name": "shop", "broker": "redis://127.0.0.1"}
    fields[field] = url.format(planted.plain("password"), port=free_port())
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(admin_user)

    page = admin.post(reverse("admin:handlers_destination_add"), fields)
    answer = api.post(DESTINATIONS, fields | {"name": "store"})

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert planted.leaks({"page": page.text, "API": answer.text, **heard()}) == []
