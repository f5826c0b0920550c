"""Where a subscription starts: topics, replay ids, and managed subscriptions, whose committed
position the org keeps.

A replay id is ten bytes: the number that CometD sends, and two zero bytes. Clients may omit
the zero bytes, as salesforce-pubsub-api-client does.
"""

from dataclasses import asdict, dataclass, field, replace

from simulator.org.channels import SubscriptionRefusedError
from simulator.org.events import StoredEvent
from simulator.org.ids import base62, with_checksum
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.pubsub_codes import PubSubError

LATEST, EARLIEST, CUSTOM = 0, 1, 2
TAIL = b"\0\0"
CORRUPTED = "subscription.fetch.replayid.corrupted"
UNKNOWN = "subscription.fetch.replayid.validation.failed"
PREFIX = "18x"
PRESETS = {"latest": LATEST, "earliest": EARLIEST}
STATES = ("running", "stopped", "deleted")


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
    entity = org.catalogue.by_change_event(topic.removeprefix("/data/"))
    is_hidden = entity is not None and entity.selected and not entity.visible
    if not is_hidden and not is_subscribable(org, topic):
        raise PubSubError("topic.not.found", f"The topic {topic} was not found.")


def is_subscribable(org: Org, topic: str) -> bool:
    """Return whether the user may subscribe, by the rules of CometD."""
    try:
        org.channels.check(topic)
    except SubscriptionRefusedError:
        return False
    return topic.startswith("/data/")


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
    return [part for event in events for part in org.delivered(topic, event)]


@dataclass(slots=True)
class ManagedSubscription:
    """One subscription; `committed` is None before the first commit."""

    subscription_id: str
    name: str
    topic: str
    replay: str = "latest"
    state: str = "running"
    committed: int | None = None
    active: bool = False

    def check(self) -> None:
        """Raise PubSubError unless the subscription is running."""
        if self.state == "deleted":
            raise PubSubError("managed.subscription.config.deleted", f"{self.name} was deleted.")
        if self.state == "stopped":
            raise PubSubError("managed.subscription.config.stopped", f"{self.name} is stopped.")

    def backlog(self, org: Org) -> list[StoredEvent]:
        """Return the events after the commit; if that is lost, those of a new subscription."""
        if self.committed is not None and org.log.knows(self.committed):
            after = replay_bytes(self.committed)
            return backlog(org, self.topic, CUSTOM, after)
        return backlog(org, self.topic, PRESETS[self.replay], b"")

    def line(self) -> JsonObject:
        return asdict(self)


@dataclass(slots=True)
class ManagedSubscriptions:
    """The org's managed subscriptions, by name."""

    by_name: dict[str, ManagedSubscription] = field(default_factory=dict)

    def define(
        self, name: str, topic: str, replay: str = "latest", state: str = "running"
    ) -> ManagedSubscription:
        """Add or change a subscription. Stopping or deleting one ends its stream and deletes its
        committed position, as in Salesforce. Raises ValueError for unknown values."""
        if replay not in PRESETS or state not in STATES:
            known = ", ".join((*PRESETS, *STATES))
            raise ValueError(f"unknown replay {replay!r} or state {state!r}; known are {known}")
        if name not in self.by_name:
            number = with_checksum(f"{PREFIX}5g0" + base62(len(self.by_name) + 1, 9))
            self.by_name[name] = ManagedSubscription(number, name, topic)
        subscription = self.by_name[name]
        subscription.topic = topic or subscription.topic
        subscription.replay = replay
        subscription.state = state
        if state != "running":
            # The stream keeps the old one, and ends even if the new one is started at once.
            self.by_name[name] = replace(subscription, committed=None, active=False)
        return self.by_name[name]

    def read(self, definition: str) -> None:
        """Add a subscription from `NAME=/data/TOPIC[:earliest]`. Raises ValueError."""
        name, _, rest = definition.partition("=")
        topic, _, replay = rest.partition(":")
        if not name or not topic.startswith("/data/"):
            raise ValueError(
                f"--managed-subscription wants NAME=/data/TOPIC[:earliest], not {definition!r}"
            )
        self.define(name, topic, replay or "latest")

    def find(self, subscription_id: str, name: str) -> ManagedSubscription:
        """Return the subscription of a request. Raises PubSubError."""
        if subscription_id:
            return self._by_id(subscription_id)
        if name in self.by_name:
            return self.by_name[name]
        raise PubSubError(
            "managed.subscription.developer.name.not.found",
            f"There is no managed subscription {name!r}.",
        )

    def _by_id(self, subscription_id: str) -> ManagedSubscription:
        if not subscription_id.startswith(PREFIX) or len(subscription_id) not in (15, 18):
            raise PubSubError(
                "managed.subscription.subscription.id.invalid",
                f"{subscription_id!r} is no id of a managed subscription.",
            )
        for subscription in self.by_name.values():
            if subscription.subscription_id.startswith(subscription_id):
                return subscription
        raise PubSubError(
            "managed.subscription.subscription.id.not.found",
            f"There is no managed subscription {subscription_id}.",
        )
