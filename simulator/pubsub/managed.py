"""Managed event subscriptions: the org keeps the position that clients commit."""

from dataclasses import asdict, dataclass, field

from simulator.org.events import StoredEvent
from simulator.org.ids import base62, with_checksum
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.pubsub import positions
from simulator.pubsub_codes import PubSubError

PREFIX = "18x"
PRESETS = {"latest": positions.LATEST, "earliest": positions.EARLIEST}
STATES = ("running", "stopped", "deleted")


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
            after = positions.replay_bytes(self.committed)
            return positions.backlog(org, self.topic, positions.CUSTOM, after)
        return positions.backlog(org, self.topic, PRESETS[self.replay], b"")

    def line(self) -> JsonObject:
        return asdict(self)


@dataclass(slots=True)
class ManagedSubscriptions:
    """The org's managed subscriptions, by name."""

    by_name: dict[str, ManagedSubscription] = field(default_factory=dict)

    def define(
        self, name: str, topic: str, replay: str = "latest", state: str = "running"
    ) -> ManagedSubscription:
        """Add or change a subscription. Raises ValueError for unknown values."""
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
        return subscription

    def read(self, definition: str) -> ManagedSubscription:
        """Add a subscription from `NAME=/data/TOPIC[:earliest]`. Raises ValueError."""
        name, _, rest = definition.partition("=")
        topic, _, replay = rest.partition(":")
        if not name or not topic.startswith("/data/"):
            raise ValueError(
                f"--managed-subscription wants NAME=/data/TOPIC[:earliest], not {definition!r}"
            )
        return self.define(name, topic, replay or "latest")

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
