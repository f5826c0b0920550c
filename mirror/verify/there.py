"""Salesforce's side of a comparison: counts, ids and records of an object, over REST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import RecordsRead, long_id, milliseconds
from mirror.verify.buckets import Bucket, Count

#: A query is part of the URL, which proxies and servers limit to 8 KB.
IDS_IN_A_QUERY = 200
#: Rows of a page of ids.
PAGE = 2_000


class There:
    """The records of one object that the connection's user may see."""

    def __init__(self, rest: RestClient, entity: str) -> None:
        self.rest = rest
        self.entity = entity

    def count(self, bucket: Bucket) -> Count:
        soql = f"SELECT COUNT(Id) rows, MAX(LastModifiedDate) newest FROM {self.entity}"
        [row] = self._all(soql + _where(bucket))
        rows = row.get("rows", row.get("expr0"))
        if not isinstance(rows, int):
            raise TransportFailed(f"the count of {self.entity} is not a number")
        return Count(rows, moment(row.get("newest", row.get("expr1"))))

    def oldest(self) -> datetime | None:
        """Return when the oldest record was created."""
        [row] = self._all(f"SELECT MIN(CreatedDate) oldest FROM {self.entity}")
        return moment(row.get("oldest", row.get("expr0")))

    def versions(self, bucket: Bucket) -> dict[str, datetime | None]:
        """Return the records of a bucket with their LastModifiedDate. Needs few records."""
        rows = self._all(f"SELECT Id, LastModifiedDate FROM {self.entity}{_where(bucket)}")
        return {long_id(row["Id"]): moment(row.get("LastModifiedDate")) for row in rows}

    def ids(self, after: str) -> list[str]:
        """Return the next page of ids in their order: fewer than PAGE on the last one.

        By keyset, which needs no cursor that could expire, and continues after a crash.
        """
        where = f" WHERE Id > '{after}'" if after else ""
        rows = self._all(f"SELECT Id FROM {self.entity}{where} ORDER BY Id LIMIT {PAGE}")
        return [long_id(row["Id"]) for row in rows]

    def values(self, after: str, names: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return a page of records with some of their fields, as `ids` does."""
        where = f" WHERE Id > '{after}'" if after else ""
        fields = ", ".join(["Id", *names])
        soql = f"SELECT {fields} FROM {self.entity}{where} ORDER BY Id LIMIT {PAGE}"
        return list(self._all(soql))

    def read(self, ids: Sequence[str]) -> RecordsRead:
        """Read at most MAX_IDS records with all their fields."""
        return self.rest.read_many(self.entity, ids)

    def updated(self, start: datetime, end: datetime) -> list[str]:
        """Return the ids of the records that Salesforce says were changed; whole minutes."""
        return [long_id(record_id) for record_id in self.rest.updated(self.entity, start, end)]

    def binned(self, ids: Sequence[str]) -> dict[str, datetime | None]:
        """Return those of the records that are in the Recycle Bin, with the time of deletion."""
        found: dict[str, datetime | None] = {}
        for start in range(0, len(ids), IDS_IN_A_QUERY):
            literals = ", ".join(f"'{one}'" for one in ids[start : start + IDS_IN_A_QUERY])
            soql = (
                f"SELECT Id, IsDeleted, SystemModstamp FROM {self.entity} WHERE Id IN ({literals})"
            )
            for page in self.rest.query(soql, deleted=True):
                found |= {
                    long_id(row["Id"]): moment(row.get("SystemModstamp"))
                    for row in page
                    if row.get("IsDeleted") is True
                }
        return found

    def _all(self, soql: str) -> Iterator[dict[str, Any]]:
        for page in self.rest.query(soql):
            yield from page


def moment(value: object) -> datetime | None:
    """Return a time of REST; None if there is none."""
    found = milliseconds(value)
    return None if found is None else datetime.fromtimestamp(found / 1000, UTC)


def _where(bucket: Bucket) -> str:
    bounds = [
        f"CreatedDate {sign} {bound:%Y-%m-%dT%H:%M:%SZ}"
        for sign, bound in ((">=", bucket.start), ("<", bucket.end))
        if bound is not None
    ]
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""
