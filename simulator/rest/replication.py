"""`/sobjects/{Object}/updated` and `…/deleted`: the ids of changed records."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from simulator.org.catalogue import Entity
from simulator.org.records import JsonObject, Record, iso
from simulator.org.rest_form import rest_time
from simulator.org.seeded_rows import SeededRows
from simulator.rest.errors import RestError
from simulator.rest.request import RestAnswer, RestRequest

MINUTE_MS = 60_000
DAYS_OF_UPDATES = 30
DAYS_OF_DELETIONS = 15
DAY_MS = 86_400_000


def updated(request: RestRequest) -> RestAnswer:
    """`GET …/updated?start=…&end=…`."""
    entity = _entity(request)
    start, end = _window(request, DAYS_OF_UPDATES)
    rows = request.sim.org.store.rows(entity.name)
    ids = [record.record_id for record in _within(rows.stored(), start, end)]
    if isinstance(rows, SeededRows):
        seed = rows.seed
        indexes = range(seed.first_modified(start), seed.first_modified(end))
        ids += [seed.record_id(index) for index in indexes if rows.is_unchanged(index)]
    _check_number(request, len(ids))
    return RestAnswer({"ids": ids, "latestDateCovered": _covered(request, end)})


def deleted(request: RestRequest) -> RestAnswer:
    """`GET …/deleted?start=…&end=…`: the ids in the Recycle Bin."""
    entity = _entity(request)
    start, end = _window(request, DAYS_OF_DELETIONS)
    earliest = request.sim.clock.now() - DAYS_OF_DELETIONS * DAY_MS
    if (purged := request.sim.org.store.purged.get(entity.name, 0)) > start:
        message = f"the deletions before {iso(purged)} were purged; do a full replication"
        raise RestError("INVALID_REPLICATION_DATE", message)
    binned = request.sim.org.store.recycle_bin.get(entity.name, {}).values()
    lines: list[JsonObject] = [
        {"id": record.record_id, "deletedDate": rest_time(iso(record.modified_at))}
        for record in _within(binned, start, end)
    ]
    _check_number(request, len(lines))
    return RestAnswer(
        {
            "deletedRecords": lines,
            "earliestDateAvailable": rest_time(iso(max(earliest, purged))),
            "latestDateCovered": _covered(request, end),
        }
    )


def _entity(request: RestRequest) -> Entity:
    """Return the object of the path, which must be replicateable."""
    entity = request.records.entity(request.path[1])
    if not entity.replicateable:
        message = f"object type '{entity.name}' is not replicateable"
        raise RestError("INVALID_TYPE_FOR_OPERATION", message)
    return entity


def _check_number(request: RestRequest, ids: int) -> None:
    most = request.sim.options.max_replicated_ids
    if ids > most:
        message = f"the result has more than {most} ids; choose a shorter time"
        raise RestError("EXCEEDED_ID_LIMIT", message)


def _window(request: RestRequest, days: int) -> tuple[int, int]:
    start, end = (_minute(request, name) for name in ("start", "end"))
    if start >= end:
        raise RestError("INVALID_REPLICATION_DATE", "startDate must be before endDate")
    if start < request.sim.clock.now() - days * DAY_MS:
        message = f"startDate cannot be more than {days} days ago"
        raise RestError("INVALID_REPLICATION_DATE", message)
    return start, end


def _minute(request: RestRequest, name: str) -> int:
    """Return a time of the query; its seconds are ignored."""
    text = request.query.get(name, "").replace(" ", "+")  # a plus sign that was not encoded
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{name} must be a date and time with a time zone, not {text!r}"
        raise RestError("INVALID_REPLICATION_DATE", message) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.replace(second=0, microsecond=0).timestamp() * 1000)


def _covered(request: RestRequest, end: int) -> str:
    """Return the end of the window, at most the last full minute."""
    now = request.sim.clock.now()
    return rest_time(iso(min(end, now - now % MINUTE_MS)))


def _within(records: Iterable[Record], start: int, end: int) -> Iterator[Record]:
    return (record for record in records if start <= record.modified_at < end)
