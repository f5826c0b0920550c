"""Bayeux sessions: connected clients, their subscriptions and queued messages."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulator.org.ids import OpaqueIds
from simulator.org.records import JsonObject

CONNECT_WITHIN_MS = 40_000


@dataclass(slots=True, eq=False)
class Session:
    """The session of one client. `hold` numbers its long polls, so that a newer one ends an
    older."""

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
        """Return the live session with this id."""
        self.sweep(now)
        return self.by_client.get(client_id)

    def is_live(self, session: Session) -> bool:
        """Return whether the session still exists."""
        return self.by_client.get(session.client_id) is session

    def drop(self, session: Session) -> None:
        """End one session."""
        self.by_client.pop(session.client_id, None)

    def drop_all(self) -> int:
        """End every session, and return how many there were."""
        count = len(self.by_client)
        self.by_client.clear()
        return count

    def sweep(self, now: int) -> None:
        """End the sessions whose client did not send its next connect in time."""
        late = [
            session
            for session in self.by_client.values()
            if not session.held and now - session.answered_at > CONNECT_WITHIN_MS
        ]
        for session in late:
            self.drop(session)
