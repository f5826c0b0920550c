"""The beat task sends external tasks only if no listener process runs, whose senders do."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from consumer.tasks import run_relay
from handlers.external import apps
from handlers.models import Delivery, Destination
from listeners.models import ListenerProcess
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import RedisServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("is_hosted", [False, True])
def test_external_tasks_are_left_to_a_listener_process(listener, broker, tmp_path, is_hosted):
    with RedisServer(tmp_path) as server:
        shop = Destination.objects.create(name="shop", broker=server.url)
        make_mapping(listener)
        make_mapping(listener, handler="", task="shop.sync", destination=shop)
        mappings = list(listener.mappings.all())
        ingest(listener, lease_of(listener), received(change()), mappings)
        long_ago = timezone.now() - timedelta(minutes=1)
        Delivery.objects.update(state="ready", queued_at=None, created_at=long_ago)
        if is_hosted:
            ListenerProcess.objects.beat("another process", [], [], timezone.now())
            ListenerProcess.objects.update(seen_until=timezone.now() + timedelta(hours=1))

        run_relay()

        states = Delivery.objects.order_by("mapping").values_list("state", flat=True)
        assert list(states) == ["queued", "ready" if is_hosted else "queued"]
        apps.forget()
