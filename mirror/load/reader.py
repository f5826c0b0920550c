"""Reads the records of a mirror's object over REST, page by page in the order of a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from listeners.salesforce.errors import RestRefused, TransportFailed
from listeners.salesforce.rest.client import MAX_IDS, RestClient
from listeners.salesforce.rest.records import long_id
from mirror.load.fields import ReadFields

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Records that were read at `read_at` (ms since 1970), with all fields or with few of them."""

    read_at: int
    records: list[Record]
    #: The number of records that the query returned for these.
    keys: int


class RestReader:
    """Reads pages that begin after a key, so that a crash or an expired cursor repeats little."""

    def __init__(self, rest: RestClient, fields: ReadFields) -> None:
        self._rest, self._fields = rest, fields

    def count(self, *, deleted: bool = True) -> int | None:
        """Return the number of records, including the Recycle Bin; None if it is not countable, or
        counting takes too long."""
        soql = f"SELECT COUNT(Id) total FROM {self._fields.entity}"
        try:
            rows = [row for page in self._rest.query(soql, deleted=deleted) for row in page]
        except RestRefused as refusal:
            if refusal.error_code != "QUERY_TIMEOUT":
                raise
            return None
        except TransportFailed as failure:
            if not failure.is_silence:
                raise
            return None  # Salesforce counts for longer than the client waits
        found = rows[0].get("total", rows[0].get("expr0")) if rows else None
        return found if isinstance(found, int) else None

    def page(self, where: str, order: str) -> tuple[list[Chunk], Record | None]:
        """Read up to MAX_IDS records; return them, and the last one unless it was the last page.

        A page without records has the time until which there are none.
        """
        query = self._fields.key_query if self._fields.is_wide else self._fields.query
        condition = f" WHERE {where}" if where else ""
        soql = f"{query}{condition} ORDER BY {order} LIMIT {MAX_IDS}"
        chunks = [
            Chunk(read_at, list(rows), len(rows))
            for read_at, rows in self._rest.read_pages(soql, deleted=True)
        ]
        records = [record for chunk in chunks for record in chunk.records]
        last = records[-1] if len(records) == MAX_IDS else None
        if self._fields.is_wide:
            chunks = [whole for chunk in chunks for whole in self._whole(chunk)]
        return chunks, last

    def _whole(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the deleted records with the fields that were read, and the others with all."""
        deleted = [record for record in chunk.records if record.get("IsDeleted") is True]
        ids = [long_id(r["Id"]) for r in chunk.records if r.get("IsDeleted") is not True]
        if ids:
            read = self._rest.read_many(self._fields.entity, ids)
            for refusal in read.refused.values():
                raise refusal
            # A record that was deleted in between has its event, or is found by the sweep.
            read_at = min(read.read_at, chunk.read_at)
            yield Chunk(read_at, list(read.records.values()), len(ids))
        if deleted or not ids:
            yield Chunk(chunk.read_at, deleted, len(deleted))
