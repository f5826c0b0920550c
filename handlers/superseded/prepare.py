"""Prepare deliveries that later changes of their record may have overtaken.

A delivery is checked when it runs, since changes are recorded and handled between its request and
its run. First attempts of a chain arrive in order and cost nothing here. Checked are

- redeliveries, and attempts after the first, against all changes recorded since;
- first attempts of unordered mappings, of mappings that have lost their handler, or after a change
  of lanes, once a later change of the same record has begun for the same target.

Their fields get the values from before the next change that will arrive in order: that change and
the ones after it are still to be delivered, and must not be visible earlier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from audit.db.retry import UNAVAILABLE
from audit.models import AuditLogEntry
from handlers.listener_rest_client import CANNOT_READ, rest_of
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Skipped, failed
from handlers.superseded.fields import has_unknown, present
from handlers.superseded.history import (
    History,
    Key,
    Turns,
    Views,
    histories,
    key_of,
    later_rows,
    progress,
)
from handlers.superseded.timeline import DELETIONS, WHOLE, Later
from listeners.models import Listener
from listeners.salesforce.rest.client import MAX_IDS
from listeners.salesforce.rest.records import event_body

log = structlog.get_logger(__name__)

GONE = "the record no longer exists in Salesforce"
Result = Present | Skipped | Failed
#: The body of a record, None if it does not exist, or the reason why it could not be read.
Record = dict[str, Any] | str | None


@dataclass(frozen=True, slots=True)
class _Overtaken:
    delivery: Delivery
    later: Later

    @property
    def is_whole(self) -> bool:
        return self.delivery.entry.change_type in WHOLE

    @property
    def needs_record(self) -> bool:
        entry, later = self.delivery.entry, self.later
        exists = later.exists and entry.change_type not in DELETIONS
        return exists and has_unknown(entry.changed_data, later.fields, is_whole=self.is_whole)


def present_of(deliveries: Sequence[Delivery]) -> dict[int, Result]:
    """Return the results, by delivery id, for overtaken deliveries; the others are delivered as
    recorded.

    `deliveries` run in this order, with entries, listeners and mappings loaded. Never inside a
    transaction: records may be read over REST.
    """
    suspects = [delivery for delivery in deliveries if _may_be_overtaken(delivery)]
    if not suspects:
        return {}
    turns = Turns.of(deliveries)
    unchanged = _as_recorded(suspects)
    by_listener: defaultdict[int, list[Delivery]] = defaultdict(list)
    for delivery in suspects:
        if delivery.redelivery_id not in unchanged:
            by_listener[delivery.entry.listener_id].append(delivery)
    found: dict[int, Result] = {}
    for group in by_listener.values():
        found |= _or_failed(group, turns)
    return found


def _or_failed(deliveries: Sequence[Delivery], turns: Turns) -> dict[int, Result]:
    """Return the results; an unexpected error fails these attempts, not others of the message."""
    try:
        return _of_listener(deliveries, turns)
    except UNAVAILABLE:
        raise
    except Exception as error:
        log.exception("could not evaluate later changes", deliveries=len(deliveries))
        return {delivery.pk: failed(error) for delivery in deliveries}


def _may_be_overtaken(delivery: Delivery) -> bool:
    mapping: HandlerMapping | None = delivery.active_mapping
    if mapping is None:  # deliveries without a mapping are not run
        return False
    is_in_a_chain = delivery.chain and mapping.ordering == HandlerMapping.Ordering.PER_RECORD
    has_target = bool(mapping.handler or mapping.task)  # else another mapping may have it now
    is_in_order = is_in_a_chain and has_target and not delivery.may_be_overtaken
    return not is_in_order or _was_tried_before(delivery)


def _was_tried_before(delivery: Delivery) -> bool:
    return bool(delivery.redelivery_id or delivery.attempts_before or delivery.attempts > 1)


def _as_recorded(deliveries: Sequence[Delivery]) -> set[int]:
    """Return the ids of the redeliveries that send changes as recorded."""
    ids = {delivery.redelivery_id for delivery in deliveries if delivery.redelivery_id}
    if not ids:
        return set()
    found = Redelivery.objects.filter(pk__in=ids, as_recorded=True).order_by()
    return set(found.values_list("pk", flat=True))


def _of_listener(deliveries: Sequence[Delivery], turns: Turns) -> dict[int, Result]:
    listener = deliveries[0].entry.listener
    suspects = _with_later_changes(deliveries, turns)
    if not suspects:
        return {}
    history_of = histories(listener.pk, suspects)
    views = Views(HandlerMapping.with_deleted.filter(listener=listener.pk))
    overtaken = [
        _Overtaken(suspect, later)
        for suspect in suspects
        if (later := _later(suspect, history_of[key_of(suspect.entry)], views, turns)) is not None
    ]
    unread = [item for item in overtaken if item.needs_record]
    records = _read(listener, [key_of(item.delivery.entry) for item in unread])
    return {
        item.delivery.pk: result
        for item in overtaken
        if (result := _result(item, records)) is not None
    }


def _with_later_changes(deliveries: Sequence[Delivery], turns: Turns) -> list[Delivery]:
    """Return the deliveries to check closely. Leave out first attempts of streamed changes unless a
    later delivery of the record has begun, for any target."""
    checked = {
        delivery.pk
        for delivery in deliveries
        if _was_tried_before(delivery) or delivery.entry.source != AuditLogEntry.Source.STREAM
    }
    others = [delivery for delivery in deliveries if delivery.pk not in checked]
    if others:
        rows = later_rows(others[0].entry.listener_id, others)
        checked |= {
            delivery.pk
            for delivery in others
            if any(
                row.entry_id > delivery.entry_id and turns.has_begun(row, delivery)
                for row in rows.get(delivery.entry.record_id, ())
            )
        }
    return [delivery for delivery in deliveries if delivery.pk in checked]


def _later(delivery: Delivery, history: History, views: Views, turns: Turns) -> Later | None:
    """Return the record's state after later changes; None for a first attempt in order."""
    others = views.others(delivery, history.rows)
    is_ahead, end = progress(delivery, others, turns, history.timeline)
    if not (_was_tried_before(delivery) or is_ahead):
        return None
    return Later.than(delivery.entry, history.timeline, end)


def _result(overtaken: _Overtaken, records: Mapping[Key, Record]) -> Result | None:
    """Return the result; None when the change is delivered as recorded."""
    entry, later = overtaken.delivery.entry, overtaken.later
    if entry.change_type in DELETIONS:
        restored = f"the record has since been restored{_by(later)}"
        return Skipped(restored) if later.exists else None
    if not later.exists:
        return Skipped(f"the record has since been deleted{_by(later)}")
    if overtaken.needs_record:
        match records.get(key_of(entry)):
            case str() as reason:
                return Failed(
                    f"a later change of {entry.entity_name} {entry.record_id} was recorded without "
                    f"its values, and the record could not be read from Salesforce: {reason}"
                )
            case dict() as record:
                later.fields.fill(record)
            case _:
                return Skipped(GONE)
    if later.fields.is_untouched:
        return None
    values = present(entry.changed_data, later.fields, is_whole=overtaken.is_whole)
    return values if values.superseded_fields else None


def _by(later: Later) -> str:
    return f" (entry {later.turned_by.pk})" if later.turned_by else ""


def _read(listener: Listener, keys: Sequence[Key]) -> dict[Key, Record]:
    """Read records from Salesforce, for values that the audit log lacks.

    Never inside a transaction.
    """
    by_entity: defaultdict[str, list[str]] = defaultdict(list)
    for entity, record_id in dict.fromkeys(keys):
        by_entity[entity].append(record_id)
    found: dict[Key, Record] = {}
    for entity, ids in by_entity.items():
        for start in range(0, len(ids), MAX_IDS):
            found |= _read_page(listener, entity, ids[start : start + MAX_IDS])
    return found


def _read_page(listener: Listener, entity: str, ids: list[str]) -> dict[Key, Record]:
    try:
        answer = rest_of(listener).read_many(entity, ids)
    except CANNOT_READ as error:
        log.warning("records not read", listener=listener.name, entity=entity, reason=str(error))
        return {(entity, record_id): str(error) for record_id in ids}
    log.info("records read", listener=listener.name, entity=entity, records=len(answer.records))
    found: dict[Key, Record] = {}
    for record_id in ids:
        record = answer.records.get(record_id)
        if record_id in answer.refused:
            found[entity, record_id] = str(answer.refused[record_id])
        else:
            found[entity, record_id] = None if record is None else event_body(record, "UPDATE")
    return found
