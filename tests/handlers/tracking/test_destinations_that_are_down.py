"""A broker that is down holds up its own deliveries alone, and costs them no attempt."""

import socket

import amqp
import pytest

from consumer import relay
from handlers.external import apps
from handlers.models import Delivery, Destination
from tests.sample_data import change, make_mapping
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]


def test_others_proceed_while_a_destination_is_down(scene, shop, shop_broker, broker, monkeypatch):
    monkeypatch.setattr(relay, "LIMIT", 2)
    scene.mapping()
    make_mapping(scene.listener)
    shop_broker.stop()

    scene.record(*(change(records=[f"00100000000000{n}AAA"]) for n in range(1, 4)))

    assert sorted(scene.states) == ["queued", "queued", "queued", "ready", "ready", "ready"]
    waiting = Delivery.objects.filter(is_tracked=True)
    assert set(waiting.values_list("attempts", "attempts_before", "error")) == {(0, 0, "")}

    # Later deliveries pass the ones that wait, however many these are.
    Delivery.objects.filter(is_tracked=False).update(state="ready", queued_at=None)
    late = scene.later(seconds=60)
    assert relay.publish_due(late) + relay.publish_due(late) == 3

    shop_broker.start()
    shop.worker()
    wait_for(scene.send_due)
    scene.wait_until(lambda: sorted(scene.states) == ["queued"] * 3 + ["succeeded"] * 3)
    assert set(waiting.values_list("attempts", "attempts_before")) == {(1, 0)}


def test_a_destination_whose_broker_changed_gets_what_waited(scene, shop, broker):
    scene.mapping()
    Destination.objects.update(broker="redis://127.0.0.1:1/0")
    scene.record()
    assert scene.states == ["ready"]

    Destination.objects.update(broker=shop.broker_url)
    shop.worker()

    wait_for(scene.send_due)
    scene.wait_for_states("succeeded")


def test_an_unexpected_error_at_one_destination_keeps_nothing_else_from_being_sent(
    scene, shop, broker, monkeypatch
):
    resolve = socket.getaddrinfo

    def resolve_or_fail(host, *rest, **options):
        if host == "strange.example":
            raise RuntimeError("unforeseen")
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_or_fail)
    strange = Destination.objects.create(name="strange", broker="rediss://strange.example/0")
    scene.mapping(destination=strange)
    scene.mapping()

    scene.record()
    assert scene.states == ["ready", "queued"]


@pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True)
def test_the_queue_of_another_project_is_left_to_its_workers(scene, shop, broker, monkeypatch):
    """They could not start if it had other arguments than theirs."""
    monkeypatch.setattr(relay, "LIMIT", 1)
    scene.mapping()
    make_mapping(scene.listener)
    scene.record()
    assert scene.states == ["ready", "queued"]
    address = shop.broker_url.partition("@")[2].rstrip("/")
    with pytest.raises(amqp.NotFound), amqp.Connection(address) as own:
        own.channel().queue_declare("celery", passive=True)

    # Others pass the ones that wait.
    Delivery.objects.filter(is_tracked=False).update(state="ready", queued_at=None)
    assert relay.publish_due(scene.later(seconds=60)) == 1

    apps.forget()
    shop.worker()
    wait_for(scene.send_due)
    scene.wait_until(lambda: scene.states == ["succeeded", "queued"])
