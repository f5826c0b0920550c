"""A page of a query job's results: CSV, read as a stream and checked against its headers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice

from listeners.salesforce.bulk.errors import PageIncomplete
from listeners.salesforce.http.answer_limits import MIB
from listeners.salesforce.http.body_stream import Body

#: The largest value; Salesforce's longest text has 131,072 characters.
csv.field_size_limit(16 * MIB)


class Page:
    """A page whose rows are read once, in order.

    `columns` are the API names that were requested. `next_locator` is empty on the last page.
    """

    def __init__(self, body: Body, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        locator = body.headers.get("Sforce-Locator", "")
        self.next_locator = "" if locator == "null" else locator
        self.announced = _number(body.headers.get("Sforce-NumberOfRecords"))
        #: Rows read so far.
        self.rows = 0
        self._body = body

    def chunks(self, size: int) -> Iterator[list[list[str]]]:
        """Yield the rows in lists of up to `size`, each row with a value for each column.

        Raises PageIncomplete at the latest after the last row, and TransportFailed.
        """
        last: list[list[str]] = []
        for chunk in self._read(size):
            self.rows += len(chunk)
            if len(chunk) == size:
                yield chunk
            else:
                last = chunk
        if self.rows != self.announced:
            raise PageIncomplete(f"a page of {self.announced:,} records has {self.rows:,}")
        if last:
            yield last

    def _read(self, size: int) -> Iterator[list[list[str]]]:
        # `strict`: a value that is cut off is an error and not a shorter value.
        rows = csv.reader(self._body.lines(), strict=True)
        width = len(self.columns)
        try:
            first = next(rows, None)
            if first is None:
                return
            if not self._is_header(first):
                raise PageIncomplete("the first line of a page does not name the columns")
            while chunk := list(islice(rows, size)):
                if other := set(map(len, chunk)) - {width}:
                    raise PageIncomplete(f"a row has {min(other)} values, not {width}")
                yield chunk
        except csv.Error as error:
            raise PageIncomplete(f"a page is not CSV: {error}") from None

    def _is_header(self, row: Sequence[str]) -> bool:
        return [name.lower() for name in row] == [name.lower() for name in self.columns]


def _number(text: str | None) -> int:
    if text is None or not text.strip().isdecimal():
        raise PageIncomplete("a page without the header Sforce-NumberOfRecords")
    return int(text)
