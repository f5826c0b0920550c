"""Receives an org's events over the wire and ingests them, without a listener process."""

from typing import Any

from consumer.ingest.transaction import Ingested, ingest
from handlers.models import HandlerMapping
from listeners.models import Listener, Position
from tests.sample_data import lease_of, received
from tests.settings_on_the_wire.stored import stream_of


def begin_now(org, listener: Listener) -> None:
    """Set the listener's position to the newest event, as if all events had been received."""
    newest = org.state(events=0, records=0)["newest_replay_id"]
    Position.objects.update_or_create(
        listener=listener, defaults={"replay_id": "" if newest is None else str(newest)}
    )


def hear(org, listener: Listener) -> Ingested:
    """Receive all that the org has for the listener, and ingest it as one batch."""
    position = Position.objects.filter(listener=listener).first()
    newest = org.state(events=0, records=0)["newest_replay_id"]
    messages: list[Any] = []
    with stream_of(listener) as stream:
        stream.open((position and position.replay_id) or "-2")

        def is_complete() -> bool:
            return any(one["data"]["event"]["replayId"] == newest for one in messages)

        for _ in range(50):
            messages += stream.poll()
            if is_complete():
                break
    mappings = list(HandlerMapping.objects.filter(listener=listener))
    return ingest(listener, lease_of(listener), received(*messages), mappings)
