"""What came of reading many records at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from listeners.salesforce.errors import RestRefused

_LONG_ID, _SHORT_ID = 18, 15


@dataclass(slots=True)
class RecordsRead:
    """What of some records was read, by the ids that were asked for.

    Who is in neither does not exist (any more). `read_at`, in ms since 1970: every change that was
    committed before it is in what was read.
    """

    read_at: int
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, RestRefused] = field(default_factory=dict)


def by_id(ids: Sequence[str], rows: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The rows that are records, by those of the ids that are theirs, in that order."""
    found: dict[str, dict[str, Any]] = {}
    short: dict[str, dict[str, Any]] = {}
    for row in rows:
        match row:
            case {"Id": str(row_id)}:
                found[row_id] = row
                short[row_id[:_SHORT_ID]] = row
    # The long form adds a checksum to the short one. Two long ones are never the same record.
    for asked in ids:
        other = short.get(asked[:_SHORT_ID])
        if other and {len(asked), len(other["Id"])} == {_LONG_ID, _SHORT_ID}:
            found.setdefault(asked, other)
    return {asked: found[asked] for asked in ids if asked in found}
