"""A task that was sent a reference reads the whole event from it."""

import pytest
from django.utils import timezone

from handlers.models import Delivery
from handlers.outbox import publish
from handlers.redelivery.request import RedeliveryRequest
from tests.api.answers import problem
from tests.commands.running import record
from tests.handlers.test_dispatch import messages_in
from tests.redelivering import redeliver
from tests.sample_data import ANN, change, make_mapping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

REFERENCES = {"large_payload": "reference", "max_bytes": 1500}
SERVER = "http://testserver"


@pytest.fixture
def sent(listener, settings):
    """Record changes, send them, and return the events of the messages."""
    settings.CDC_PUBLIC_URL = SERVER
    make_mapping(listener, "update", "", task="shop.sync", track=False, options=REFERENCES)

    def send(*messages):
        record(listener, *messages)
        publish.publish(list(Delivery.objects.values_list("pk", flat=True)), timezone.now())
        return [message["kwargs"]["event"] for message in messages_in("celery")]

    return send


def update(record_id="001000000000001AAA", **data):
    return change("UPDATE", [record_id], data=data)


def read(client, event):
    return client.get(event["reference"].removeprefix(SERVER))


def test_the_reference_gives_the_whole_event(client_of, sent):
    client = client_of("view_delivery")
    other = update("001000000000002AAA", Description="y")
    [event, small] = sent(update(Description="x" * 2000), other)

    answer = read(client, event)

    reference = event.pop("reference")
    assert reference.startswith(f"{SERVER}/api/v1/deliveries/")
    assert answer.json() == {**event, "changedData": {"Description": "x" * 2000}}
    assert small["changedData"] == {"Description": "y"}


def test_the_reference_gives_the_present_values_of_overtaken_fields(client_of, sent):
    client = client_of("view_delivery")
    sent(update(Phone="1", Description="x" * 2000), update(Phone="2"))
    first = Delivery.objects.earliest("pk")
    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=first.pk)), timezone.now())
    [*_, again] = [message["kwargs"]["event"] for message in messages_in("celery")]

    whole = read(client, again).json()

    assert again["supersededFields"] == whole["supersededFields"] == ["Phone"]
    assert whole["changedData"] == {"Phone": "2", "Description": "x" * 2000}


def test_there_is_no_event_of_a_record_that_was_deleted_since(client_of, sent, listener):
    [event] = sent(update(Description="x" * 2000))
    record(listener, change("DELETE", ["001000000000001AAA"]))
    Delivery.objects.update(attempts_before=1)

    detail = problem(read(client_of("view_delivery"), event), 410)["detail"]

    assert "the record has since been deleted" in detail


def test_only_users_who_see_sensitive_values_read_events_of_a_listener_with_some(
    client_of, sent, listener
):
    listener.sensitive_fields = ["Account.Phone"]
    listener.save()
    [event] = sent(update(Description="x" * 2000, Phone="1"))

    refused = problem(read(client_of("view_delivery"), event), 403)
    allowed = read(client_of("view_delivery", "view_sensitive"), event)
    problem(read(client_of(), event), 403)

    assert "audit.view_sensitive" in refused["detail"]
    assert allowed.json()["changedData"]["Phone"] == "1"
