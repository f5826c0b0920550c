"""What Salesforce says of an entity's records: when each was created, changed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.records import milliseconds
from listeners.salesforce.rest import RestClient

#: Salesforce's own times have whole seconds.
SECOND = 1000

# Kept this simple for servers that understand little.
_SELECT = "SELECT Id, CreatedDate, LastModifiedDate, SystemModstamp, IsDeleted FROM {entity}"
_ORDER = " ORDER BY SystemModstamp, Id"


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the query shows it; times in ms since 1970, UTC, whole seconds."""

    record_id: str
    created: int
    modified: int
    #: When anything about it last changed, its deletion included.
    stamp: int
    is_deleted: bool


def rows(
    rest: RestClient, entity: str, since: int | None, until: int | None, *, deleted: bool
) -> Iterator[list[Row]]:
    """Pages of the records last changed from `since` on and before `until`, the oldest change
    first. With `deleted`, those in the Recycle Bin too. Raises what RestClient raises."""
    bounds = [
        f"SystemModstamp {sign} {_literal(at)}"
        for sign, at in ((">=", since), ("<", until))
        if at is not None
    ]
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    soql = _SELECT.format(entity=entity) + where + _ORDER
    for page in rest.query(soql, deleted=deleted):
        yield [_row(record) for record in page]


def _literal(at: int) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _row(record: Any) -> Row:
    match record:
        case {"Id": str(record_id), "SystemModstamp": str(stamped)}:
            stamp = milliseconds(stamped)
        case _:
            stamp = None
    if stamp is None:
        raise TransportFailed("a query's row is without its Id or SystemModstamp")
    modified = milliseconds(record.get("LastModifiedDate"))
    created = milliseconds(record.get("CreatedDate"))
    return Row(
        record_id,
        created=stamp if created is None else created,
        modified=stamp if modified is None else modified,
        stamp=stamp // SECOND * SECOND,
        is_deleted=record.get("IsDeleted") is True,
    )
