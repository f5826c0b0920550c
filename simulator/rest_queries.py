"""Queries over REST, a batch of rows at a time."""

import itertools
import re
from dataclasses import dataclass, field

from simulator.ids import base62
from simulator.org import Org
from simulator.records import JsonObject
from simulator.rest_errors import RestError
from simulator.soql_run import select

SMALLEST_BATCH, LARGEST_BATCH = 200, 2_000
MAX_CURSORS = 50
LOCATOR = re.compile(r"(01g\w{15})-(\d+)")


@dataclass(slots=True)
class Queries:
    """Runs queries, and keeps the rows of those that were not answered whole."""

    org: Org
    batch_size: int = LARGEST_BATCH
    _cursors: dict[str, list[JsonObject]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def run(self, text: str, version: str, options: str, *, deleted: bool) -> JsonObject:
        """`GET …/query?q=…`, with `deleted` `…/queryAll?q=…`; raises RestError."""
        found = select(self.org, text, version, deleted=deleted)
        if found.is_count:
            return {"totalSize": found.count, "done": True, "records": []}
        size = self._size(options)
        if len(found.rows) <= size:
            return {"totalSize": len(found.rows), "done": True, "records": found.rows}
        cursor = f"01g5g{base62(next(self._numbers), 10)}AAA"
        self._cursors[cursor] = found.rows
        if len(self._cursors) > MAX_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        return self._batch(cursor, 0, size, version)

    def more(self, locator: str, version: str, options: str) -> JsonObject:
        """`GET …/query/{locator}`; raises RestError."""
        match = LOCATOR.fullmatch(locator)
        if match is None or match[1] not in self._cursors:
            raise RestError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._batch(match[1], int(match[2]), self._size(options), version)

    def _batch(self, cursor: str, start: int, size: int, version: str) -> JsonObject:
        rows = self._cursors[cursor]
        end = start + size
        answer: JsonObject = {"totalSize": len(rows), "done": end >= len(rows)}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"/services/data/v{version}/query/{cursor}-{end}"
        return {**answer, "records": rows[start:end]}

    def _size(self, options: str) -> int:
        """What `Sforce-Query-Options: batchSize=N` asks for, as far as the org goes."""
        asked = re.search(r"batchSize\s*=\s*(\d+)", options, re.IGNORECASE)
        wanted = int(asked[1]) if asked else LARGEST_BATCH
        return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH, self.batch_size)
