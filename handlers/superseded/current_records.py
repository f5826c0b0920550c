"""Read the current state of records from Salesforce, for values that the audit log lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog

from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.models import Listener
from listeners.salesforce.rest.client import MAX_IDS
from listeners.salesforce.rest.records import event_body

log = structlog.get_logger(__name__)

#: Entity name and record id.
Record = tuple[str, str]


class NotRead(Exception):
    """A record could not be read from Salesforce. The attempt fails and is retried."""


def read(
    listener: Listener, records: Collection[Record]
) -> Mapping[Record, dict[str, Any] | NotRead | None]:
    """Return the body of each record, or None for a record that does not exist.

    Never inside a transaction.
    """
    by_entity: defaultdict[str, list[str]] = defaultdict(list)
    for entity, record_id in dict.fromkeys(records):
        by_entity[entity].append(record_id)
    found: dict[Record, dict[str, Any] | NotRead | None] = {}
    for entity, ids in by_entity.items():
        for start in range(0, len(ids), MAX_IDS):
            found |= _page(listener, entity, ids[start : start + MAX_IDS])
    return found


def _page(
    listener: Listener, entity: str, ids: list[str]
) -> Iterable[tuple[Record, dict[str, Any] | NotRead | None]]:
    try:
        answer = rest_of(listener).read_many(entity, ids)
    except CANNOT_READ as error:
        log.warning("records not read", listener=listener.name, entity=entity, reason=str(error))
        return [((entity, record_id), NotRead(str(error))) for record_id in ids]
    log.info("records read", listener=listener.name, entity=entity, records=len(answer.records))
    found: dict[Record, dict[str, Any] | NotRead | None] = {}
    for record_id in ids:
        record = answer.records.get(record_id)
        if record_id in answer.refused:
            found[entity, record_id] = NotRead(str(answer.refused[record_id]))
        else:
            found[entity, record_id] = None if record is None else event_body(record, "UPDATE")
    return found.items()
