"""The limits of a day: API requests, query jobs and delivered events."""

from simulator.rest.errors import RestError
from simulator.rest.request import RestAnswer, RestRequest
from simulator.simulator import Simulator

DAY_MS = 86_400_000
DAILY_EVENTS = 50_000
DAILY_BULK_MEGABYTES = 976_562


class Limits:
    """Counts the API requests of a day; the other counters belong to what they count."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._served = 0
        self._since = simulator.clock.now()

    def check(self, resource: str) -> None:
        """Raise RestError if the requests of the day are used up; the limits can still be read."""
        if self._used() >= self._sim.options.daily_api_requests and resource != "limits":
            raise RestError("REQUEST_LIMIT_EXCEEDED")

    def count(self) -> str:
        """Count a request, and return the value of `Sforce-Limit-Info`."""
        self._served = self._used() + 1
        return f"api-usage={self._served}/{self._sim.options.daily_api_requests}"

    def _used(self) -> int:
        now = self._sim.clock.now()
        if now - self._since >= DAY_MS:
            self._served, self._since = 0, now
        return self._served

    def read(self, _request: RestRequest) -> RestAnswer:
        """`GET …/limits`."""
        sim, now = self._sim, self._sim.clock.now()
        delivered = sim.bayeux.delivered + sim.pubsub.delivered
        left = {
            "DailyApiRequests": (sim.options.daily_api_requests, self._used()),
            "DailyBulkV2QueryFileStorageMB": (DAILY_BULK_MEGABYTES, 0),
            "DailyBulkV2QueryJobs": (sim.options.daily_bulk_jobs, sim.jobs.created_since(now)),
            "DailyDeliveredPlatformEvents": (DAILY_EVENTS, delivered),
        }
        return RestAnswer(
            {name: {"Max": most, "Remaining": max(most - n, 0)} for name, (most, n) in left.items()}
        )
