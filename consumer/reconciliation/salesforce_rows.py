"""Query when each record of an entity was created, changed or deleted in Salesforce."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.rest.records import milliseconds

#: One second in ms. Times in Salesforce have whole seconds.
SECOND = 1000
#: A query is part of the URL, which proxies and servers limit to 8 KB.
IDS_IN_A_QUERY = 200
#: Milliseconds for which a change may be on its way in the stream after its second.
ON_ITS_WAY = 3 * SECOND

# Kept simple for servers that support only a part of SOQL.
_TIMES = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
_SELECT = "SELECT Id, CreatedDate, LastModifiedDate, SystemModstamp, IsDeleted FROM {entity}"
_ORDER = " ORDER BY SystemModstamp, Id"


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the query returns it; times in ms since 1970, UTC, whole seconds."""

    record_id: str
    created: int
    modified: int
    #: The last change of the record, its deletion included.
    stamp: int
    is_deleted: bool


def rows(
    rest: RestClient, entity: str, since: int | None, until: int | None, *, deleted: bool
) -> Iterator[list[Row]]:
    """Yield pages of the records last changed from `since` on and before `until`, the oldest change
    first, archived ones included. With `deleted`, includes the Recycle Bin. Raises what RestClient
    raises."""
    bounds = [
        f"SystemModstamp {sign} {_literal(at)}"
        for sign, at in ((">=", since), ("<", until))
        if at is not None
    ]
    if not deleted:
        bounds.append("IsDeleted = false")
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    soql = _SELECT.format(entity=entity) + where + _ORDER
    for page in rest.query(soql, deleted=True):  # only this resource returns archived records
        found = (_row(record) for record in page)
        # A server that ignores the condition would make us record changes outside the window.
        yield [
            row
            for row in found
            if _is_between(row.stamp, since, until) and (deleted or not row.is_deleted)
        ]


def rows_of(rest: RestClient, entity: str, ids: Sequence[str]) -> Iterator[list[Row]]:
    """Yield pages of the records with these ids that exist or are in the Recycle Bin."""
    for start in range(0, len(ids), IDS_IN_A_QUERY):
        literals = ", ".join(f"'{record_id}'" for record_id in ids[start : start + IDS_IN_A_QUERY])
        soql = f"{_SELECT.format(entity=entity)} WHERE Id IN ({literals})"
        for page in rest.query(soql, deleted=True):
            yield [_row(record) for record in page]


def _is_between(stamp: int, since: int | None, until: int | None) -> bool:
    return (since is None or stamp >= since // SECOND * SECOND) and (
        until is None or stamp < until // SECOND * SECOND
    )


def _literal(at: int) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _row(record: Any) -> Row:
    match record:
        case {"Id": str(record_id)}:
            created, modified, stamped = (milliseconds(record.get(name)) for name in _TIMES)
        case _:
            raise TransportFailed("a query row has no Id")
    stamp = next((time for time in (stamped, modified, created) if time is not None), None)
    if stamp is None:
        raise TransportFailed(f"the query row of record {record_id} has no time of change")
    return Row(
        record_id,
        created=stamp if created is None else created,
        modified=stamp if modified is None else modified,
        stamp=stamp // SECOND * SECOND,
        is_deleted=record.get("IsDeleted") is True,
    )
