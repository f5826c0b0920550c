"""Hot-path SQL: claim, load and settle deliveries, one or many at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import DurationField, F, Model
from django.db.models.functions import Now

from audit.db.prepared import Param, Prepared, prepared_cursor, stored, update_query
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import EARLY
from listeners.models import Listener

_SPAN = Param("span", DurationField())
_BEGIN = Prepared(
    lambda: update_query(
        Delivery.objects.claimable(Param("due_by")).filter(pk=Param("pk")),
        **_begun(),
    )
)
_LOAD = Prepared(
    lambda: (
        Delivery.objects.select_related("entry__listener", "mapping")
        .filter(pk=Param("pk"))
        .order_by()
    )
)
_CLAIMABLE = Prepared(
    lambda: (
        Delivery.objects.claimable(Param("due_by"))
        .filter(pk__among=Param("ids"))
        .locked()
        .defer("error")
    )
)
_BEGIN_ALL = Prepared(
    lambda: update_query(Delivery.objects.filter(pk__among=Param("ids")), **_begun())
)


def _begun() -> dict[str, Any]:
    """Return the changes that start a run; its claim ends after the span, on the database's
    clock."""
    return {
        "state": "running",
        "paused": False,
        "attempts": F("attempts") + 1,
        "started_at": Param("now"),
        "claim_deadline": Now() + _SPAN,
        "error": "",
    }


def _by_ids(model: type[Model]) -> Prepared:
    # Not the default manager, which hides deleted mappings: their deliveries are skipped.
    return Prepared(lambda: model._base_manager.filter(pk__among=Param("ids")).order_by())


_ENTRIES, _MAPPINGS, _LISTENERS = map(_by_ids, (AuditLogEntry, HandlerMapping, Listener))
_SUCCESS = {
    "state": "succeeded",
    "error": "",
    "started_at": Param("started_at"),
    "finished_at": Param("finished_at"),
    "worker": Param("worker"),
    "claim_deadline": None,
}
_SUCCEED = Prepared(
    lambda: update_query(
        Delivery.objects.filter(pk=Param("pk"), state="running", attempts=Param("attempt")),
        **_SUCCESS,
    )
)
_SUCCEED_ALIKE = Prepared(
    lambda: update_query(Delivery.objects.filter(pk__among=Param("ids")), **_SUCCESS)
)
#: The same for runs of different times, on PostgreSQL.
_SUCCEED_ALL = """
UPDATE handlers_delivery SET state = 'succeeded', error = '', started_at = run.started_at,
    finished_at = run.finished_at, worker = run.worker, claim_deadline = NULL
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::text[])
    AS run (id, started_at, finished_at, worker)
WHERE handlers_delivery.id = run.id
"""


def begin(delivery_id: int, now: datetime, span: timedelta) -> bool:
    """Claim a delivery for `span`; return False if it is not claimable.

    The row's `attempts` becomes the attempt's number. Never inside a transaction.
    """
    return bool(_BEGIN.execute(pk=delivery_id, now=now, due_by=now + EARLY, span=span))


def load(delivery_id: int) -> Delivery | None:
    """Return a delivery with its entry, listener and mapping, or None if it was deleted."""
    rows = _LOAD.objects(pk=delivery_id)
    return rows[0] if rows else None


def begin_all(ids: Sequence[int], now: datetime, span: timedelta) -> list[Delivery]:
    """Claim the claimable deliveries among `ids` for `span` and return them with their new state.

    Their `claim_deadline` is approximate; the database has the exact one. Never inside a
    transaction.
    """
    with transaction.atomic(durable=True):
        claimed: list[Delivery] = _CLAIMABLE.objects(ids=list(ids), due_by=now + EARLY)
        _BEGIN_ALL.execute(ids=[delivery.pk for delivery in claimed], now=now, span=span)
    for delivery in claimed:
        delivery.attempts += 1
        delivery.state, delivery.started_at = Delivery.State.RUNNING, now
        delivery.claim_deadline = now + span
    return claimed


def load_all(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries with entries, listeners and mappings, reading each row once.

    Leaves out deliveries that were deleted.
    """
    entries = _by_id(_ENTRIES, {delivery.entry_id for delivery in deliveries})
    AuditLogEntry.share_record_ids(entries.values())
    mappings = _by_id(_MAPPINGS, {delivery.mapping_id for delivery in deliveries})
    listeners = _by_id(_LISTENERS, {entry.listener_id for entry in entries.values()})
    loaded = [
        delivery
        for delivery in deliveries
        if delivery.entry_id in entries and delivery.mapping_id in mappings
    ]
    for delivery in loaded:
        delivery.entry = entry = entries[delivery.entry_id]
        entry.listener = listeners[entry.listener_id]
        delivery.mapping = mappings[delivery.mapping_id]
    return loaded


def _by_id(query: Prepared, ids: Collection[int]) -> dict[int, Any]:
    return {row.pk: row for row in query.objects(ids=list(ids))} if ids else {}


class Success(NamedTuple):
    """The columns of a delivery that has succeeded: when its last attempt ran, and where."""

    pk: int
    started_at: datetime
    finished_at: datetime
    worker: str


def succeed(attempt: int, success: Success) -> bool:
    """Mark a run as succeeded; return False if its claim was lost. Inside the caller's
    transaction."""
    return bool(_SUCCEED.execute(attempt=attempt, **success._asdict()))


def succeed_all(successes: Sequence[Success]) -> None:
    """Mark runs as succeeded whose rows the caller's transaction has locked."""
    ids: defaultdict[tuple[datetime, datetime, str], list[int]] = defaultdict(list)
    for success in successes:
        ids[success[1:]].append(success.pk)
    if connection.vendor == "postgresql" and len(ids) > 1:
        columns = map(list, zip(*successes, strict=True))
        with prepared_cursor() as cursor:
            cursor.execute(_SUCCEED_ALL, stored(columns))
        return
    for (started_at, finished_at, worker), alike in ids.items():
        _SUCCEED_ALIKE.execute(
            ids=alike, started_at=started_at, finished_at=finished_at, worker=worker
        )
