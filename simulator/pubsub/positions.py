"""Replay ids on the wire, and the start of a subscription.

A replay id is ten bytes: the number that CometD sends, and two zero bytes. Clients may omit
the zero bytes, as salesforce-pubsub-api-client does.
"""

from simulator.org.channels import SubscriptionRefusedError
from simulator.org.events import StoredEvent
from simulator.org.org import Org
from simulator.pubsub_codes import PubSubError

LATEST, EARLIEST, CUSTOM = 0, 1, 2
TAIL = b"\0\0"
CORRUPTED = "subscription.fetch.replayid.corrupted"
UNKNOWN = "subscription.fetch.replayid.validation.failed"


def replay_bytes(replay_id: int) -> bytes:
    """Return the replay id as sent on the wire."""
    return replay_id.to_bytes(8, "big") + TAIL


def replay_number(org: Org, replay_id: bytes) -> int:
    """Return the position of a client in the log. Raises PubSubError for an unknown one."""
    if len(replay_id) not in (8, 8 + len(TAIL)) or replay_id[8:] not in (b"", TAIL):
        raise PubSubError(CORRUPTED, "The Replay ID is corrupted.")
    number = int.from_bytes(replay_id[:8], "big")
    if not org.log.knows(number):
        raise PubSubError(
            UNKNOWN,
            "The Replay ID validation failed. Ensure that it is valid and refers to an event "
            "within the retention window.",
        )
    return number


def check_topic(org: Org, topic: str) -> None:
    """Raise PubSubError if there is no such topic."""
    if not topic:
        raise PubSubError("topic.validation.empty", "The topic name is empty.")
    if not is_subscribable(org, topic) and not _entity_is_hidden(org, topic):
        raise PubSubError("topic.not.found", f"The topic {topic} was not found.")


def is_subscribable(org: Org, topic: str) -> bool:
    """Return whether the user may subscribe, by the rules of CometD."""
    try:
        org.channels.check(topic)
    except SubscriptionRefusedError:
        return False
    return topic.startswith("/data/")


def _entity_is_hidden(org: Org, topic: str) -> bool:
    entity = org.catalogue.by_change_event(topic.removeprefix("/data/"))
    return entity is not None and entity.selected and not entity.visible


def backlog(org: Org, topic: str, preset: int, replay_id: bytes) -> list[StoredEvent]:
    """Return the retained events that a new subscription starts with. Raises PubSubError."""
    check_topic(org, topic)
    if not is_subscribable(org, topic):
        raise PubSubError(
            "subscription.topic.cannot.subscribe", f"The user cannot subscribe to {topic}."
        )
    match preset:
        case 0:
            events = []
        case 1:
            events = org.log.retained()
        case 2:
            events = org.log.after(replay_number(org, replay_id))
        case _:
            raise PubSubError("subscription.fetch.request.invalid", "Unknown replay preset.")
    return [event for event in events if org.channels.carries(topic, event.entity)]
