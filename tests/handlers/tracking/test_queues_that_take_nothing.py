"""A queue that does not exist or is full holds up no other, and an incident tells."""

import amqp
import pytest

from audit.models import Incident
from handlers.external import apps, closed_queues
from handlers.models import Delivery
from handlers.reporting.wait_reason import waits_for
from tests import brokers
from tests.sample_data import change
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
    pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True),
]

LIMIT = {"x-max-length": 1, "x-overflow": "reject-publish"}


@pytest.fixture
def channel(shop_broker):
    with amqp.Connection(shop_broker.url.partition("@")[2].rstrip("/")) as connection:
        yield connection.channel()
    brokers.empty(shop_broker.url, ["crm"])


def states(scene):
    """Let the senders forget what they know, and try again."""
    apps.forget()
    scene.send_due()
    return scene.states


def close_incidents(scene):
    """Close them a moment later: the estimated time at which one was seen may be a little ahead."""
    closed_queues.close_incidents(scene.later(seconds=1))


@pytest.mark.parametrize("track", [True, False])
def test_a_full_queue_holds_up_no_other(scene, channel, track):
    end = "queued" if track else "sent"
    channel.queue_declare("celery", durable=True, auto_delete=False)
    channel.queue_declare("crm", durable=True, auto_delete=False, arguments=LIMIT)
    channel.basic_publish_confirm(amqp.Message("x"), "", "crm")  # or it might come later
    fields = {"track": track} if track else {"track": False, "max_attempts": None}
    scene.mapping(queue="crm", **fields)
    scene.mapping(on="update", **fields)

    scene.record(
        *(change(records=[f"00100000000000{n}AAA"]) for n in (1, 2)),
        change("UPDATE", ["001000000000003AAA"]),
    )

    assert scene.states == ["ready", "ready", end]
    assert set(Delivery.objects.filter(state="ready").values_list("attempts", flat=True)) == {0}
    incident = Incident.objects.get()
    assert incident.summary == "Destination shop: the queue crm refuses tasks."
    close_incidents(scene)
    assert Incident.objects.opened().exists()

    channel.queue_purge("crm")
    wait_for(lambda: states(scene).count(end) == 2)
    channel.queue_purge("crm")
    wait_for(lambda: states(scene) == [end] * 3)
    close_incidents(scene)
    incident.refresh_from_db()
    assert incident.note == "No delivery waits for it any more."


def test_an_incident_names_a_queue_that_does_not_exist(scene, channel):
    scene.mapping(queue="crm")

    scene.record()

    assert scene.states == ["ready"]
    incident = Incident.objects.get()
    assert (incident.kind, incident.key) == ("queue", "crm at shop")
    assert incident.summary == "Destination shop: the queue crm does not exist."
    wait = waits_for(Delivery.objects.get())
    assert wait.reason == f"It waits for its queue. {incident.summary}"

    channel.queue_declare("crm", durable=True, auto_delete=False)
    assert states(scene) == ["queued"]
    close_incidents(scene)
    assert not Incident.objects.opened().exists()
