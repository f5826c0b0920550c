"""Salesforce's side of a comparison: counts, ids and records of an object, over REST."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from listeners.salesforce.errors import RestRefused, TransportFailed
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import RecordsRead, long_id, milliseconds
from mirror.load.fields import ReadFields
from mirror.verify.buckets import Bucket, Count

#: A query is part of the URL, which proxies and servers limit to 8 KB.
IDS_IN_A_QUERY = 200
CREATED, MODIFIED = "CreatedDate", "LastModifiedDate"

_TIMED_OUT = "QUERY_TIMEOUT"
#: No record is older than Salesforce, apart from those whose date was set.
_FIRST = datetime(1999, 3, 8, tzinfo=UTC)
_SELECT = "SELECT {fields} FROM {entity}"
_COUNT = "COUNT(Id) counted"
_NEWEST = "MAX(LastModifiedDate) newest"
_OLDEST = "MIN(CreatedDate) oldest"
_DELETED = "SELECT Id, IsDeleted, SystemModstamp FROM {entity} WHERE Id IN ({ids})"


class There:
    """The records of one object that the connection's user may see, archived ones too."""

    def __init__(self, rest: RestClient, fields: ReadFields) -> None:
        self.rest, self.entity, self._types = rest, fields.entity, fields.types
        self._has_archive = fields.has_archive

    @property
    def has_created(self) -> bool:
        return CREATED in self._types

    def count_or_none(self, bucket: Bucket) -> Count | None:
        """Count a bucket; None if Salesforce says that this takes too long."""
        try:
            return self.count(bucket)
        except RestRefused as refusal:
            if refusal.error_code != _TIMED_OUT:
                raise
            return None

    def count(self, bucket: Bucket) -> Count:
        wanted = [_COUNT, _NEWEST] if MODIFIED in self._types else [_COUNT]
        [row] = self._all(self._select(wanted), _bounds(bucket))
        number = row.get("counted", row.get("expr0"))
        if not isinstance(number, int):
            raise TransportFailed(f"the count of {self.entity} is not a number")
        return Count(number, moment(row.get("newest", row.get("expr1"))))

    def oldest(self) -> datetime | None:
        """Return when the oldest record was created; None if there is none."""
        try:
            [row] = self._all(self._select([_OLDEST]), [])
        except RestRefused as refusal:
            if refusal.error_code != _TIMED_OUT:
                raise
            return _FIRST
        return moment(row.get("oldest", row.get("expr0")))

    def versions(self, bucket: Bucket) -> dict[str, datetime | None]:
        """Return the records of a bucket with their LastModifiedDate. Needs few records."""
        wanted = ["Id", *({MODIFIED} & self._types.keys())]
        rows = self._all(self._select(wanted), _bounds(bucket))
        return {long_id(row["Id"]): moment(row.get(MODIFIED)) for row in rows}

    def pages(self, after: str, fields: Sequence[str] = ()) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the records behind `after`, in the order of their ids; at least one.

        After a crash, the query begins behind the last id: no cursor has to be kept.
        """
        conditions = [f"Id > '{after}'"] if after else []
        for page in self._pages(self._select(["Id", *fields]), conditions, " ORDER BY Id"):
            yield [{**row, "Id": long_id(row["Id"])} for row in page]

    def read(self, ids: Sequence[str]) -> RecordsRead:
        """Read at most MAX_IDS records with all their fields."""
        return self.rest.read_many(self.entity, ids)

    def updated(self, start: datetime, end: datetime) -> tuple[list[str], datetime]:
        """Return the ids of the records that Salesforce says were changed, and until when it lists
        all of them; whole minutes."""
        ids, covered = self.rest.updated(self.entity, start, end)
        return [long_id(one) for one in ids], min(end, moment(covered) or end)

    def binned(self, ids: Sequence[str]) -> dict[str, datetime | None]:
        """Return those of the records that are in the Recycle Bin, with the time of deletion."""
        found: dict[str, datetime | None] = {}
        for start in range(0, len(ids), IDS_IN_A_QUERY):
            literals = ", ".join(f"'{one}'" for one in ids[start : start + IDS_IN_A_QUERY])
            soql = _DELETED.format(entity=self.entity, ids=literals)
            for page in self.rest.query(soql, deleted=True):
                found |= {
                    long_id(row["Id"]): moment(row.get("SystemModstamp"))
                    for row in page
                    if row.get("IsDeleted") is True
                }
        return found

    def _select(self, fields: Sequence[str]) -> str:
        return _SELECT.format(fields=", ".join(fields), entity=self.entity)

    def _all(self, select: str, conditions: Sequence[str]) -> Iterator[dict[str, Any]]:
        for page in self._pages(select, conditions):
            yield from page

    def _pages(
        self, select: str, conditions: Sequence[str], order: str = ""
    ) -> Iterator[list[dict[str, Any]]]:
        if self._has_archive:
            conditions = [*conditions, "IsDeleted = FALSE"]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return self.rest.query(f"{select}{where}{order}", deleted=self._has_archive)


def moment(value: object) -> datetime | None:
    """Return a time of REST; None if there is none."""
    found = milliseconds(value)
    return None if found is None else datetime.fromtimestamp(found / 1000, UTC)


def _bounds(bucket: Bucket) -> list[str]:
    return [
        f"{CREATED} {sign} {bound:%Y-%m-%dT%H:%M:%SZ}"
        for sign, bound in ((">=", bucket.start), ("<", bucket.end))
        if bound is not None
    ]
