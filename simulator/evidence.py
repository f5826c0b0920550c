"""The requests of clients, kept so that a test can inspect them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

from simulator.org.records import JsonObject

MAX_ENTRIES = 5_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """The arrival of a request."""

    at: int
    path: str
    http_version: str
    headers: dict[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request in the log; `form` has no password of a SOAP login."""

    arrival: Arrival
    form: Mapping[str, str]
    grant_type: str
    credential_bearer: str
    outcome: str
    refresh_token_reused: bool

    def line(self) -> JsonObject:
        """Return the entry as the control API shows it."""
        shown = asdict(self)
        return {**shown.pop("arrival"), **shown, "minute": self.arrival.at // MINUTE_MS}


@dataclass(slots=True)
class SeenRequest:
    """A request other than for a token; `status` is None until the response."""

    arrival: Arrival
    method: str
    query: str
    status: int | None = None

    def line(self) -> JsonObject:
        """Return the entry as the control API shows it."""
        shown = asdict(self)
        headers = {name.lower(): value for name, value in self.arrival.headers.items()}
        authorization = headers.get("authorization", "")
        return {**shown.pop("arrival"), **shown, "authorization": authorization}


Request = TypeVar("Request", TokenRequest, SeenRequest)


@dataclass(slots=True)
class Log(Generic[Request]):
    """The newest requests of one kind."""

    entries: deque[Request] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))

    def add(self, request: Request) -> Request:
        """Add a request, and return it."""
        self.entries.append(request)
        return request

    def since(self, at: int) -> list[Request]:
        """Return the requests since then."""
        return [request for request in self.entries if request.arrival.at >= at]

    def clear(self) -> int:
        """Clear the log, and return how many requests it had."""
        count = len(self.entries)
        self.entries.clear()
        return count


@dataclass(slots=True)
class TokenLog(Log[TokenRequest]):
    """The log of token requests, which also counts refreshes and reused refresh tokens."""

    refreshes: int = 0
    reuses: int = 0

    def add(self, request: TokenRequest) -> TokenRequest:
        """Add a request, and return it."""
        self.refreshes += request.grant_type == "refresh_token"
        self.reuses += request.refresh_token_reused
        return Log.add(self, request)

    def clear(self) -> int:
        """Clear the log and its counters, and return how many requests it had."""
        self.refreshes = self.reuses = 0
        return Log.clear(self)
