"""What clients sent, kept so that a test can look at it afterwards."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from simulator.records import JsonObject

MAX_ENTRIES = 5_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request reached the org."""

    at: int
    path: str
    http_version: str
    headers: dict[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A line of the log of token requests; `form` is without the password of a SOAP login."""

    at: int
    grant_type: str
    credential_bearer: str
    outcome: str
    path: str
    http_version: str
    headers: dict[str, str]
    form: dict[str, str]
    refresh_token_reused: bool
    peer: str

    def line(self) -> JsonObject:
        """As the control API shows it."""
        return {**asdict(self), "minute": self.at // MINUTE_MS}


@dataclass(slots=True)
class TokenLog:
    """The newest token requests, and how many of each kind there were."""

    entries: deque[TokenRequest] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    refreshes: int = 0
    reuses: int = 0

    def add(
        self,
        arrival: Arrival,
        form: Mapping[str, str],
        *,
        grant_type: str,
        bearer: str,
        outcome: str,
        reused: bool = False,
    ) -> None:
        """One more request."""
        self.refreshes += grant_type == "refresh_token"
        self.reuses += reused
        entry = TokenRequest(
            at=arrival.at,
            grant_type=grant_type,
            credential_bearer=bearer,
            outcome=outcome,
            path=arrival.path,
            http_version=arrival.http_version,
            headers=arrival.headers,
            form=dict(form),
            refresh_token_reused=reused,
            peer=arrival.peer,
        )
        self.entries.append(entry)

    def since(self, at: int) -> list[TokenRequest]:
        """The requests from then on."""
        return [entry for entry in self.entries if entry.at >= at]

    def clear(self) -> int:
        """Forget the requests and count anew; returns how many were kept."""
        count = len(self.entries)
        self.entries.clear()
        self.refreshes = self.reuses = 0
        return count


@dataclass(slots=True)
class SeenRequest:
    """A request that is not for a token; `status` is None until it is answered."""

    method: str
    query: str
    arrival: Arrival
    status: int | None = None

    def line(self) -> JsonObject:
        """As the control API shows it."""
        headers = self.arrival.headers
        authorization = next(
            (value for name, value in headers.items() if name.lower() == "authorization"), ""
        )
        return {
            **asdict(self.arrival),
            "method": self.method,
            "query": self.query,
            "authorization": authorization,
            "status": self.status,
        }


@dataclass(slots=True)
class RequestLog:
    """The newest requests that were not for a token."""

    entries: deque[SeenRequest] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))

    def add(self, method: str, query: str, arrival: Arrival) -> SeenRequest:
        """One more request."""
        entry = SeenRequest(method, query, arrival)
        self.entries.append(entry)
        return entry

    def since(self, at: int) -> list[SeenRequest]:
        """The requests from then on."""
        return [entry for entry in self.entries if entry.arrival.at >= at]

    def clear(self) -> int:
        """Forget them; returns how many there were."""
        count = len(self.entries)
        self.entries.clear()
        return count
