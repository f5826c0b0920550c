"""Listeners, messages and mappings for tests."""

import itertools
from datetime import timedelta

from django.db.models.functions import Now
from django.utils import timezone

from audit.action_log import Actor, Through
from consumer.ingest.transaction import Message
from handlers.models import HandlerMapping
from listeners.leases import Lease
from listeners.models import Connection, Listener, Position

_numbers = itertools.count(1)
ANN = Actor("ann", Through.CONSOLE)


def make_listener(**fields) -> Listener:
    number = next(_numbers)
    connection = fields.pop("connection", None) or Connection.objects.create(
        name=f"org{number}",
        auth="client_credentials",
        base_url="http://localhost:1",
        client_id="client",
        client_secret="secret of the client",
    )
    fields = {"name": f"listener{number}", "replay_from": "earliest", **fields}
    return Listener.objects.create(connection=connection, **fields)


def make_mapping(listener: Listener, on="create", handler="tests.remember", **fields):
    return HandlerMapping.objects.create(listener=listener, on=on, handler=handler, **fields)


def make_deleted_mapping(listener: Listener) -> HandlerMapping:
    """Make a mapping that is kept only for its deliveries, and that the console does not list."""
    now = timezone.now()
    return HandlerMapping.with_deleted.create(
        listener=listener, on="create", deleted_at=now, emptied_at=now
    )


def lease_of(listener, holder="this test"):
    """Return the listener's lease, or None while another holder has it."""
    if leases := Position.objects.acquire([listener.pk], holder):
        return leases[0]
    position = Position.objects.get(listener=listener)
    return Lease(listener.pk, holder, position.epoch) if position.holder == holder else None


def long_lease_of(listener, holder="this test"):
    """Return a lease of the listener that lasts an hour, so that no slow request outlives it."""
    lease = lease_of(listener, holder)
    Position.objects.held(lease).update(lease_until=Now() + timedelta(hours=1))
    return lease


def change(
    change_type="CREATE",
    records=("001000000000001AAA",),
    *,
    entity="Account",
    transaction=None,
    sequence=1,
    replay=None,
    data=None,
    **header,
):
    """Return a data message of the Streaming API."""
    number = next(_numbers)
    return {
        "channel": "/data/ChangeEvents",
        "data": {
            "schema": "c126ffd",
            "payload": {
                **(data or {}),
                "ChangeEventHeader": {
                    "entityName": entity,
                    "recordIds": list(records),
                    "changeType": change_type,
                    "changeOrigin": "com/salesforce/api/rest/67.0",
                    "transactionKey": transaction or f"0000-{number}",
                    "sequenceNumber": sequence,
                    "commitTimestamp": 1_764_000_000_000 + number,
                    "commitNumber": 10_000 + number,
                    "commitUser": "005000000000001AAA",
                    **header,
                },
            },
            "event": {"replayId": replay or 1000 + number},
        },
    }


def received(*messages) -> list[Message]:
    return [Message(message, timezone.now()) for message in messages]


def connection_to(url: str, credentials: dict[str, str], **fields) -> Connection:
    """Make a connection to an org with a token endpoint at the usual address."""
    number = next(_numbers)
    known = {"client_id", "client_secret", "username", "password", "refresh_token"}
    return Connection.objects.create(
        **{
            "name": f"org{number}",
            "auth": "client_credentials",
            "base_url": url,
            **{name: value for name, value in credentials.items() if name in known},
            **fields,
        }
    )


def listener_of(org, *, handler="tests.remember", auth="client_credentials", **fields) -> Listener:
    """Make a listener of a simulator or scripted org, with a mapping for each kind of change."""
    connection = connection_to(org.url, org.credentials, auth=auth)
    listener = make_listener(connection=connection, **fields)
    for on in HandlerMapping.On:
        make_mapping(listener, on, handler)
    return listener
