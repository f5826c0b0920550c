"""In a listener process, a destination whose broker does not answer delays nothing else."""

import socket
import threading
from datetime import timedelta

import pytest

from consumer.host import supervisor
from consumer.host.senders import Senders
from consumer.ingest.transaction import ingest
from handlers.external import application, apps
from handlers.models import Delivery, Destination
from handlers.outbox import publish
from listeners.clock import database_clock
from listeners.models import Listener
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import RedisServer, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def silent_url(monkeypatch):
    """The URL of a broker that accepts connections and never answers. Nobody gives it up."""
    monkeypatch.setattr(application, "ANSWER_SECONDS", 600.0)
    apps.forget()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
    apps.forget()


@pytest.fixture
def senders(silent_url):
    senders = Senders()
    senders.start()
    yield senders
    senders.stop()
    senders.join(0.0)


def test_a_broker_that_does_not_answer_delays_nothing_else(
    listener, broker, silent_url, senders, tmp_path
):
    with RedisServer(tmp_path) as server:
        silent = Destination.objects.create(name="silent", broker=silent_url)
        answering = Destination.objects.create(name="answering", broker=server.url)
        for destination in (silent, answering):
            make_mapping(listener, handler="", task="shop.sync", destination=destination)
        make_mapping(listener)
        mappings = list(listener.mappings.all())
        done = ingest(listener, lease_of(listener), received(change()), mappings)

        publish.publish(done.to_publish.ids, database_clock.now())

        states = Delivery.objects.order_by("mapping").values_list("state", flat=True)
        assert (states[0], states[2]) == ("ready", "queued")
        wait_for(lambda: list(states.all()) == ["ready", "queued", "queued"])


def test_what_was_offered_after_the_end_is_left_to_another_process(listener, senders, silent_url):
    silent = Destination.objects.create(name="silent", broker=silent_url)
    make_mapping(listener, handler="", task="shop.sync", destination=silent)
    done = ingest(listener, lease_of(listener), received(change()), list(listener.mappings.all()))
    senders.stop()

    publish.publish(done.to_publish.ids, database_clock.now())

    assert Delivery.objects.get().state == "ready"


def test_a_process_that_ends_waits_for_what_is_being_sent(listener, run, monkeypatch):
    monkeypatch.setattr(application, "ANSWER_SECONDS", 4.0)
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        silent = Destination.objects.create(name="silent", broker=url)
        make_mapping(listener, handler="", task="shop.sync", destination=silent)
        ingest(listener, lease_of(listener), received(change()), list(listener.mappings.all()))
        Listener.objects.update(enabled=False)
        Delivery.objects.update(created_at=database_clock.now() - timedelta(minutes=1))
        running = run()
        server.settimeout(30)
        connection, _ = server.accept()

        running.stop()

        names = [thread.name for thread in threading.enumerate()]
        assert f"send to destination {silent.pk}" not in names
        connection.close()
    apps.forget()
