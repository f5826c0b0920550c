"""Bayeux sessions: connected clients, their queued messages, and where a subscription starts."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.org.channels import SubscriptionRefusedError
from simulator.org.events import StoredEvent
from simulator.org.ids import OpaqueIds
from simulator.org.org import Org
from simulator.org.records import JsonObject

CONNECT_WITHIN_MS = 40_000
NEW_EVENTS = -1
ALL_RETAINED = -2


@dataclass(slots=True, eq=False)
class Session:
    """The session of one client. `hold` numbers its long polls, so that a newer one ends an
    older; `awake` makes them check whether they are ready."""

    client_id: str
    browser: str
    affinity: str
    api_version: float
    answered_at: int
    subscriptions: set[str] = field(default_factory=set)
    queue: deque[JsonObject] = field(default_factory=deque)
    connected: bool = False
    held: bool = False
    left: bool = False
    hold: int = 0
    delivered: int = 0
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self) -> JsonObject:
        """Return the session as the control API shows it."""
        return {
            "client_id": self.client_id,
            "api_version": self.api_version,
            "subscriptions": sorted(self.subscriptions),
            "held": self.held,
            "queued": len(self.queue),
            "delivered": self.delivered,
        }

    def put(self, message: JsonObject) -> None:
        self.queue.append(message)
        self.awake.set()

    def take(self, limit: int) -> list[JsonObject]:
        """Remove the next messages for the client from its queue, and return them."""
        messages = [self.queue.popleft() for _ in range(min(limit, len(self.queue)))]
        self.delivered += len(messages)
        return messages

    def put_back(self, messages: Iterable[JsonObject]) -> None:
        """Undo a `take` whose response was not sent."""
        returned = list(messages)
        self.delivered -= len(returned)
        self.queue.extendleft(reversed(returned))


@dataclass(slots=True)
class SessionTable:
    """The live sessions, by clientId."""

    opaque: OpaqueIds
    by_client: dict[str, Session] = field(default_factory=dict)

    def open(self, *, browser: str, api_version: float, now: int) -> Session:
        """Open a session after a successful handshake."""
        session = Session(
            client_id=self.opaque.client_id(),
            browser=browser or self.opaque.browser(),
            affinity=self.opaque.affinity(),
            api_version=api_version,
            answered_at=now,
        )
        self.by_client[session.client_id] = session
        return session

    def find(self, client_id: str, now: int) -> Session | None:
        self.sweep(now)
        return self.by_client.get(client_id)

    def is_live(self, session: Session) -> bool:
        return self.by_client.get(session.client_id) is session

    def drop(self, session: Session) -> None:
        self.by_client.pop(session.client_id, None)
        session.awake.set()

    def drop_all(self) -> int:
        """End every session, and return how many there were."""
        sessions = list(self.by_client.values())
        for session in sessions:
            self.drop(session)
        return len(sessions)

    def sweep(self, now: int) -> None:
        """End the sessions whose client did not send its next connect in time."""
        for session in list(self.by_client.values()):
            if not session.held and now - session.answered_at > CONNECT_WITHIN_MS:
                self.drop(session)

    def wake(self) -> None:
        """Make every held connect check whether it is ready."""
        for session in self.by_client.values():
            session.awake.set()


def backlog(org: Org, message: JsonObject) -> list[StoredEvent]:
    """Return the retained events to replay. Raises SubscriptionRefusedError."""
    channel = message.get("subscription")
    if not isinstance(channel, str) or not channel:
        raise SubscriptionRefusedError("400::Channel name not specified")
    if not channel.startswith("/"):
        raise SubscriptionRefusedError("400::Channel subscriptions must start with a leading '/'")
    org.channels.check(channel)
    return [
        part
        for event in _retained(org, _replay_id(message, channel))
        for part in org.delivered(channel, event)
    ]


def _replay_id(message: JsonObject, channel: str) -> object:
    """Return the position for this channel; without the replay extension, the tip."""
    ext = message.get("ext")
    positions = ext.get("replay") if isinstance(ext, dict) else None
    if not isinstance(positions, dict):
        return NEW_EVENTS
    if channel not in positions:
        given = ", ".join(f"{name}={position}" for name, position in positions.items())
        raise SubscriptionRefusedError(
            f"400::The replayId for channel {{{channel}}} wasn't found using the provided replay "
            f"ID map {{{{{given}}}}}. Ensure that the channel name you provided in the replay map "
            "is valid and matches the channel name used for subscribing."
        )
    return positions[channel]


def _retained(org: Org, replay_id: object) -> list[StoredEvent]:
    if replay_id == NEW_EVENTS:
        return []
    if replay_id == ALL_RETAINED:
        return org.log.retained()
    if not isinstance(replay_id, int) or not org.log.knows(replay_id):
        shown = "null" if replay_id is None else replay_id
        raise SubscriptionRefusedError(
            f"400::The replayId {{{shown}}} you provided was invalid.  Please provide a valid "
            "ID, -2 to replay all events, or -1 to replay only new events."
        )
    return org.log.after(replay_id)
