"""A destination has a Celery application of its own, configured by its row alone."""

import itertools
import ssl
import traceback
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from celery import current_app
from django.db import DatabaseError
from redis import Redis

from handlers import broker
from handlers.broker import BrokerUnavailable
from handlers.external import apps
from handlers.external.application import Access, make_app, options_for
from handlers.external.inspection import survey
from handlers.models import Destination
from listeners.salesforce.http.allowlist import parsed
from tests.brokers import AnyBroker, empty
from tests.line import Line
from tests.servers import free_port, wait_for
from tests.simulator.certificates import Authority

pytestmark = pytest.mark.anywhere
SECRET = "s3cret-word"


def send(destination: Destination, task: str = "shop.tasks.sync") -> None:
    with apps.sending(destination) as app, app.producer_pool.acquire(block=True) as producer:
        app.send_task(task, producer=producer, retry=False)


def waiting(url: str) -> int:
    with Redis.from_url(url) as client:
        return int(client.llen("celery"))


def test_messages_go_to_the_destination_despite_the_environment(shop, shop_broker, monkeypatch):
    for name in ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"):
        monkeypatch.setenv(f"CELERY_{name}", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "no.such.module")
    monkeypatch.setenv("CELERY_LOADER", "no.such:Loader")

    send(shop)

    assert waiting(shop_broker.url) == 1


def test_our_own_application_stays_the_current_one(shop):
    own = current_app._get_current_object()

    app = apps.app_of(shop)

    assert current_app._get_current_object() is own
    assert apps.app_of(None) is own
    assert app.conf.task_default_queue == "celery"
    assert app.conf.control_exchange == "celery"


def test_the_application_is_kept_until_the_row_changes(shop, shop_broker):
    first = apps.app_of(shop)
    again = apps.app_of(Destination.objects.get())

    shop.broker = shop_broker.url.replace("/0", "/1")
    changed = apps.app_of(shop)

    assert again is first
    assert changed is not first
    send(shop)
    assert waiting(shop.broker.reveal()) == 1


def connections(server) -> int:
    with Redis.from_url(server.url) as client:
        return int(client.info("clients")["connected_clients"])


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_connections_close_when_a_destination_changes(shop, shop_broker, change):
    before = connections(shop_broker)
    send(shop)
    survey(shop)
    assert connections(shop_broker) > before

    if change == "edited":
        shop.broker = shop_broker.url.replace("/0", "/1")
        apps.app_of(shop)
    else:
        apps.keep_only(set())

    wait_for(lambda: connections(shop_broker) == before, what="closed connections")


def test_a_connection_in_use_closes_when_it_is_released(shop, shop_broker):
    before = connections(shop_broker)
    with apps.app_of(shop).pool.acquire() as used:
        used.connect()
        apps.keep_only(set())
        used.default_channel.client.ping()

    wait_for(lambda: connections(shop_broker) == before, what="closed connections")


def test_a_referenced_broker_is_looked_up(shop, shop_broker, monkeypatch):
    shop.broker = "env:SHOP_BROKER"

    with pytest.raises(BrokerUnavailable, match="SHOP_BROKER is not set"):
        send(shop)
    apps.forget()
    monkeypatch.setenv("SHOP_BROKER", shop_broker.url)
    send(shop)

    assert waiting(shop_broker.url) == 1


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_the_error_of_a_broker_that_is_down_has_no_password(db, scheme):
    url = f"{scheme}://user:{SECRET}@127.0.0.1:{free_port()}/0"
    shop = Destination(pk=1, name="shop", broker=url)

    with pytest.raises(BrokerUnavailable, match=r"^Destination shop: ") as down:
        send(shop)
    with pytest.raises(BrokerUnavailable) as again:  # without an attempt
        send(shop)

    assert SECRET not in str(down.value)
    assert str(again.value) == str(down.value)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_accepts_a_connection_and_stays_silent_is_unavailable(shop_broker, scheme):
    with Line(shop_broker.port) as line:
        line.freeze()
        shop = Destination(pk=1, name="shop", broker=f"{scheme}://127.0.0.1:{line.port}")
        with pytest.raises(BrokerUnavailable), apps.errors(shop):
            apps.connect(apps.app_of(shop))


def test_an_address_that_takes_long_does_not_hide_the_next(shop_broker, monkeypatch):
    url = f"redis://127.0.0.1:1/0;{shop_broker.url}"
    monkeypatch.setattr("kombu.utils.functional.time", itertools.count(step=60).__next__)

    apps.connect(make_app(Access(url), options_for(url)))


def test_the_error_of_a_wrong_password_does_not_contain_it(shop, shop_broker):
    with Redis.from_url(shop_broker.url) as client:
        client.config_set("requirepass", "another")
    shop.broker = shop_broker.url.replace("//", f"//:{SECRET}@")

    with pytest.raises(BrokerUnavailable) as refused:
        send(shop)

    assert SECRET not in str(refused.value)
    assert "password" in str(refused.value)


@pytest.mark.parametrize("cause", [None, ValueError(f"no number in :{SECRET}@host")])
def test_an_unexpected_error_has_no_password_either(shop, cause):
    shop.broker = f"redis://:{SECRET}@127.0.0.1/0"
    text = "unexpected" if cause else f"no number in :{SECRET}@host"

    with pytest.raises(BrokerUnavailable) as failed, apps.errors(shop):
        raise RuntimeError(text) from cause
    with pytest.raises(RuntimeError, match=r"^unexpected$"), apps.errors(shop):
        raise RuntimeError("unexpected")

    assert SECRET not in "".join(traceback.format_exception(failed.value))


@contextmanager
def over_tls(folder, port: int, scheme: str = "rediss"):
    authority = Authority(folder)
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with Line(port, tls=context) as line:
        yield f"{scheme}://127.0.0.1:{line.port}/0", authority


def test_tls_is_verified_with_the_certificate(shop, shop_broker, tmp_path):
    with over_tls(tmp_path, shop_broker.port) as (url, authority):
        shop.broker = url
        with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
            send(shop)

        apps.forget()
        shop.ca_certificate = str(authority.cert)
        send(shop)

        assert waiting(shop_broker.url) == 1


def test_rabbitmq_over_tls_is_verified_too(request, tmp_path):
    rabbitmq = request.getfixturevalue("_rabbitmq")
    server = AnyBroker("rabbitmq", rabbitmq.url)
    empty(rabbitmq.url, ["celery"])
    port = urlsplit(rabbitmq.url).port
    with over_tls(tmp_path, port, "amqps") as (url, authority):
        shop = Destination(pk=1, name="shop", broker=url.replace("//", "//guest:guest@", 1))
        shop.broker = f"{shop.broker.reveal().removesuffix('/0')}//"
        with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
            send(shop)

        apps.forget()
        shop.ca_certificate = str(authority.cert)
        send(shop)
        # It is sent without a confirmation: a connection closed before it arrives can lose it.
        wait_for(lambda: server.waiting("celery") == 1, what="the message at RabbitMQ")
        apps.forget()  # which closes the connections


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("https://shop.example", "must start with redis://, rediss://, amqp:// or amqps://"),
        ("redis://:pa/ss@shop.example:6379/0", "special characters"),
        ("redis:///0", "has no host"),
        ("redis://redis..internal/0", "host or port is not valid"),
        (f"amqps://{'x' * 64}.example", "host or port is not valid"),
        ("rediss://shop.example/0?ssl_cert_reqs=none", "not supported"),
        ("redis://localhost/zero", "must be a database number"),
        ("redis://localhost;amqp://localhost", "the same scheme"),
        ("amqp://shop.example", "requires TLS"),
        ("amqps://10.1.2.3", "CDC_OUTBOUND_ALLOWED"),
    ],
)
def test_an_unusable_url_is_reported(url, flaw, settings):
    settings.CDC_OUTBOUND = parsed(["loopback"])
    with pytest.raises(BrokerUnavailable, match=flaw):
        send(Destination(pk=1, name="shop", broker=url))


def test_an_error_of_our_database_is_no_failure_of_the_destination(shop):
    with pytest.raises(DatabaseError), apps.sending(shop):
        raise DatabaseError("the connection was lost")

    assert apps.unreachable() == set()


def test_an_error_without_a_text_is_named():
    named = pytest.raises(BrokerUnavailable, match="does not accept messages: TimeoutError")
    with named, broker.errors(current_app):
        raise TimeoutError
