"""What clients sent, kept so that a test can look at it afterwards."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

from simulator.org.records import JsonObject

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

    arrival: Arrival
    form: Mapping[str, str]
    grant_type: str
    credential_bearer: str
    outcome: str
    refresh_token_reused: bool

    def line(self) -> JsonObject:
        """As the control API shows it."""
        shown = asdict(self)
        return {**shown.pop("arrival"), **shown, "minute": self.arrival.at // MINUTE_MS}


@dataclass(slots=True)
class SeenRequest:
    """A request that is not for a token; `status` is None until it is answered."""

    arrival: Arrival
    method: str
    query: str
    status: int | None = None

    def line(self) -> JsonObject:
        """As the control API shows it."""
        shown = asdict(self)
        headers = {name.lower(): value for name, value in self.arrival.headers.items()}
        authorization = headers.get("authorization", "")
        return {**shown.pop("arrival"), **shown, "authorization": authorization}


Request = TypeVar("Request", TokenRequest, SeenRequest)


@dataclass(slots=True)
class Log(Generic[Request]):
    """The newest requests of a kind."""

    entries: deque[Request] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))

    def add(self, request: Request) -> Request:
        """One more request."""
        self.entries.append(request)
        return request

    def since(self, at: int) -> list[Request]:
        """The requests from then on."""
        return [one for one in self.entries if one.arrival.at >= at]

    def clear(self) -> int:
        """Forget them; returns how many there were."""
        count = len(self.entries)
        self.entries.clear()
        return count


@dataclass(slots=True)
class TokenLog(Log[TokenRequest]):
    """With how many refreshes there were, and how many of them used a token again."""

    refreshes: int = 0
    reuses: int = 0

    def add(self, request: TokenRequest) -> TokenRequest:
        """One more request."""
        self.refreshes += request.grant_type == "refresh_token"
        self.reuses += request.refresh_token_reused
        return Log.add(self, request)

    def clear(self) -> int:
        """Forget the requests and count anew; returns how many were kept."""
        self.refreshes = self.reuses = 0
        return Log.clear(self)
