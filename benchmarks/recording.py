"""What is timed: decoding and the one transaction."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from consumer.ingest import Message, ingest
from handlers.models import HandlerMapping
from listeners.leases import Lease
from listeners.models import Connection, Listener, Position
from listeners.salesforce.decode import decode

_numbers = itertools.count(int(time.time() * 1000))


def prepare() -> tuple[Listener, Lease, HandlerMapping]:
    """A listener of its own for this run."""
    number = next(_numbers)
    connection = Connection.objects.create(name=f"bench{number}", base_url="http://localhost")
    listener = Listener.objects.create(name=f"bench{number}", connection=connection)
    lease = Position.objects.acquire(listener.pk, "benchmark")
    if lease is None:
        raise RuntimeError("somebody else holds the benchmark's listener")
    mapping = HandlerMapping.objects.create(
        listener=listener, on="update", handler="handlers.log_change"
    )
    return listener, lease, mapping


def decode_batch(size: int) -> float:
    messages = [_message() for _ in range(size)]
    started = time.perf_counter()
    for message in messages:
        decode(message)
    return time.perf_counter() - started


def record_batch(
    listener: Listener, lease: Lease, mappings: Sequence[HandlerMapping], size: int
) -> float:
    now = timezone.now()
    messages = [Message(_message(), now) for _ in range(size)]
    started = time.perf_counter()
    ingest(listener, lease, messages, mappings)
    return time.perf_counter() - started


def _message() -> dict[str, Any]:
    number = next(_numbers)
    return {
        "channel": "/data/ChangeEvents",
        "data": {
            "payload": {
                **{f"Field{n}__c": f"value {n}" for n in range(20)},
                "LastModifiedDate": "2026-11-25T12:00:00.000Z",
                "ChangeEventHeader": {
                    "entityName": "Account",
                    "recordIds": [f"001{number}"],
                    "changeType": "UPDATE",
                    "transactionKey": f"key-{number}",
                    "sequenceNumber": 1,
                    "commitTimestamp": number,
                },
            },
            "event": {"replayId": number},
        },
    }
