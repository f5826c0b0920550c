"""The event log: replay ids, retention, and the form of an event for an API version."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulator.org.records import JsonObject

HEADER = "ChangeEventHeader"
CHANGED_FIELDS_SINCE = 47.0
#: Header fields that CometD never sends.
PUBSUB_LISTS = frozenset({"nulledFields", "diffFields"})
ALL_LISTS = PUBSUB_LISTS | {"changedFields"}
EVENT_UUID_SINCE = 52.0


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event in the log. `avro` is its Pub/Sub payload, if the Pub/Sub API runs and its schema
    is known."""

    replay_id: int
    at: int
    entity: str
    schema: str
    event_uuid: str
    payload: JsonObject
    avro: bytes | None = None

    def line(self) -> JsonObject:
        """Return the event as the control API shows it, without its fields."""
        return {
            "replay_id": self.replay_id,
            "event_uuid": self.event_uuid,
            "entity": self.entity,
            "at": self.at,
            "header": self.payload.get(HEADER),
        }

    def data(self, api_version: float) -> JsonObject:
        """Return the `data` of a message for a client of this API version."""
        event: JsonObject = {"replayId": self.replay_id}
        if api_version >= EVENT_UUID_SINCE:
            event["EventUuid"] = self.event_uuid
        return {"schema": self.schema, "payload": self._payload(api_version), "event": event}

    def _payload(self, api_version: float) -> JsonObject:
        header = self.payload.get(HEADER)
        left_out = PUBSUB_LISTS if api_version >= CHANGED_FIELDS_SINCE else ALL_LISTS
        if not isinstance(header, dict) or left_out.isdisjoint(header):
            return self.payload
        kept = {name: value for name, value in header.items() if name not in left_out}
        return {**self.payload, HEADER: kept}


@dataclass(slots=True)
class EventLog:
    """Retained events in replay order.

    A position is valid if the log knows the id and has dropped nothing after it.
    """

    newest_id: int
    steps: Iterator[int]
    retention_ms: int
    retention_events: int
    _events: list[StoredEvent] = field(default_factory=list)
    _ids: list[int] = field(default_factory=list)
    _last_lost_id: int | None = None
    total: int = 0

    def __post_init__(self) -> None:
        """Make the newest id a valid position before the first event, for keep-alives."""
        self._last_lost_id = self.newest_id

    @property
    def begins_after(self) -> int:
        """The position before the oldest retained event."""
        return self.newest_id if self._last_lost_id is None else self._last_lost_id

    def next_id(self) -> int:
        """Reserve the next replay id."""
        self.newest_id += next(self.steps)
        return self.newest_id

    def append(self, event: StoredEvent) -> None:
        """Add an event, and drop the oldest if there are too many."""
        self._events.append(event)
        self._ids.append(event.replay_id)
        self.total += 1
        self._lose(len(self._events) - self.retention_events)

    def expire(self, now: int) -> None:
        """Drop events older than the retention time."""
        too_old = now - self.retention_ms
        if self._events and self._events[0].at < too_old:
            self._lose(bisect_left(self._events, too_old, key=lambda event: event.at))

    def lose_all(self, *, forget: bool = False) -> int:
        """Expire all events; with `forget`, even the newest id is no longer a valid position."""
        count = len(self._events)
        self._lose(count)
        if forget:
            self._last_lost_id = None
        return count

    def _lose(self, count: int) -> None:
        if count > 0:
            self._last_lost_id = self._ids[count - 1]
            del self._events[:count], self._ids[:count]

    def knows(self, replay_id: int) -> bool:
        """Return whether a replay after this id misses no event."""
        return replay_id == self._last_lost_id or self.find(replay_id) is not None

    def after(self, replay_id: int) -> list[StoredEvent]:
        return self._events[bisect_right(self._ids, replay_id) :]

    def retained(self) -> list[StoredEvent]:
        """Return all retained events, oldest first."""
        return list(self._events)

    def find(self, replay_id: int) -> StoredEvent | None:
        at = bisect_left(self._ids, replay_id)
        found = at < len(self._ids) and self._ids[at] == replay_id
        return self._events[at] if found else None
