"""Makes many deliveries at once, and reads the messages that name them."""

import json
from datetime import timedelta

from django.utils import timezone

from cdcproject.celery import app
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.outbox import publish as outbox_publish
from tests.sample_data import change, lease_of, make_mapping, received


def record_id(number: int) -> str:
    return f"001{number:015}"


def deliver(listener, handler, count=0, *, data=(), **fields):
    """Return the ids of deliveries of a new mapping, one per record; `data` is that of the first
    ones."""
    mapping = make_mapping(listener, handler=handler, **fields)
    told = [*data, *[{}] * (count - len(data))]
    changes = [change(records=[record_id(n)], data=one) for n, one in enumerate(told)]
    ingest(listener, lease_of(listener), received(*changes), [mapping])
    return ids_of(mapping=mapping)


def ids_of(**which):
    return list(Delivery.objects.filter(**which).order_by("id").values_list("pk", flat=True))


def publish(ids, **options):
    return outbox_publish.publish(ids, timezone.now(), **options)


def messages(queue="cdc"):
    """Return the deliveries that each waiting message names, the oldest first."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        found = []
        for text in reversed(channel.client.lrange(queue, 0, -1)):
            kwargs = json.loads(channel.decode_body(json.loads(text)["body"], "base64"))[1]
            found.append(kwargs["delivery_ids"])
    return found


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def make_due() -> None:
    Delivery.objects.filter(state="retrying").update(due_at=timezone.now() - timedelta(seconds=1))
