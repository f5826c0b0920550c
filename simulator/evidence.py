"""The requests of clients, kept so that a test can inspect them."""

from dataclasses import asdict, dataclass

from simulator.org.records import JsonObject

#: Each log keeps this many of the newest requests.
MAX_ENTRIES = 5_000


@dataclass(frozen=True, slots=True)
class Arrival:
    at: int
    path: str
    http_version: str
    headers: dict[str, str]
    peer: str


@dataclass(slots=True)
class SeenRequest:
    """A request other than for a token; `status` is None until the response."""

    arrival: Arrival
    method: str
    query: str
    status: int | None = None

    def line(self) -> JsonObject:
        shown = asdict(self)
        headers = {name.lower(): value for name, value in self.arrival.headers.items()}
        authorization = headers.get("authorization", "")
        return {**shown.pop("arrival"), **shown, "authorization": authorization}
