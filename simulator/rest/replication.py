"""`/sobjects/{Entity}/updated` and `…/deleted`: the ids of records changed in a period."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from simulator.org.clock import Clock
from simulator.org.description import rest_time
from simulator.org.org import Org
from simulator.org.records import JsonObject, Record, iso
from simulator.rest.records import Records
from simulator.rest_messages import RestAnswer, RestError, RestRequest

MINUTE_MS = 60_000
DAYS_OF_UPDATES = 30
DAYS_OF_DELETIONS = 15
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Replication:
    """Both resources; the seconds of requested times are ignored."""

    org: Org
    clock: Clock

    def updated(self, request: RestRequest) -> RestAnswer:
        """`GET …/updated?start=…&end=…`."""
        entity = Records(self.org, request.version).entity(request.path[1])
        start, end = self._window(request, DAYS_OF_UPDATES)
        live = self.org.store.live.get(entity.name, {}).values()
        ids = [record.record_id for record in _within(live, start, end)]
        return RestAnswer({"ids": ids, "latestDateCovered": self._covered(end)})

    def deleted(self, request: RestRequest) -> RestAnswer:
        """`GET …/deleted?start=…&end=…`: the ids in the Recycle Bin."""
        entity = Records(self.org, request.version).entity(request.path[1])
        start, end = self._window(request, DAYS_OF_DELETIONS)
        binned = self.org.store.recycle_bin.get(entity.name, {}).values()
        lines: list[JsonObject] = [
            {"id": record.record_id, "deletedDate": rest_time(iso(record.modified_at))}
            for record in _within(binned, start, end)
        ]
        earliest = self.clock.now() - DAYS_OF_DELETIONS * DAY_MS
        return RestAnswer(
            {
                "deletedRecords": lines,
                "earliestDateAvailable": rest_time(iso(earliest)),
                "latestDateCovered": self._covered(end),
            }
        )

    def _window(self, request: RestRequest, days: int) -> tuple[int, int]:
        start, end = (_minute(request, name) for name in ("start", "end"))
        if start >= end:
            raise RestError("INVALID_REPLICATION_DATE", "startDate must be before endDate")
        if start < self.clock.now() - days * DAY_MS:
            message = f"startDate cannot be more than {days} days ago"
            raise RestError("INVALID_REPLICATION_DATE", message)
        return start, end

    def _covered(self, end: int) -> str:
        """Return the end of the window, at most the last full minute."""
        now = self.clock.now()
        return rest_time(iso(min(end, now - now % MINUTE_MS)))


def _minute(request: RestRequest, name: str) -> int:
    text = request.query.get(name, "").replace(" ", "+")  # a plus sign that was not encoded
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{name} must be a date and time with a time zone, not {text!r}"
        raise RestError("INVALID_REPLICATION_DATE", message) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.replace(second=0, microsecond=0).timestamp() * 1000)


def _within(records: Iterable[Record], start: int, end: int) -> Iterator[Record]:
    return (record for record in records if start <= record.modified_at < end)
