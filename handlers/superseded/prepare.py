"""What handlers get of deliveries that later changes of their record may have overtaken.

A delivery is looked at when it runs: changes are recorded and handled between its request and then.
The first attempts of a chain come in their order and cost nothing here. Looked at are

- deliveries that were redelivered, and attempts after the first: whatever was recorded since;
- first attempts of unordered mappings, or after lanes were changed: once a later change of the same
  record has begun for the same target.

They get the values of their fields as the changes up to the next one that arrives in its order left
them; what comes from there on is still on its way, and must not be seen before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from audit.db.errors import UNAVAILABLE
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Skipped, failed
from handlers.superseded import current_records
from handlers.superseded.current_records import NotRead
from handlers.superseded.fields import has_untold, present
from handlers.superseded.history import History, histories, key_of, later_rows
from handlers.superseded.later_changes import WHOLE, Later
from handlers.superseded.timeline import DELETIONS
from handlers.superseded.views import Progress, Turns, Views

log = structlog.get_logger(__name__)

GONE = "the record does not exist in Salesforce any more"
Result = Present | Skipped | Failed


@dataclass(frozen=True, slots=True)
class _Overtaken:
    delivery: Delivery
    later: Later

    @property
    def is_whole(self) -> bool:
        return self.delivery.entry.change_type in WHOLE

    @property
    def needs_record(self) -> bool:
        own = self.delivery.entry.changed_data
        return has_untold(own, self.later.fields, is_whole=self.is_whole)


def present_of(deliveries: Sequence[Delivery]) -> dict[int, Result]:
    """By id, what becomes of deliveries that later changes have overtaken; the others are delivered
    as they were recorded.

    `deliveries` run in this order and have their entries, listeners and mappings. Never inside a
    transaction: records may be read over REST.
    """
    suspects = [one for one in deliveries if _may_be_overtaken(one)]
    if not suspects:
        return {}
    turns = Turns.of(deliveries)
    unchanged = _as_recorded(suspects)
    by_listener: defaultdict[int, list[Delivery]] = defaultdict(list)
    for one in suspects:
        if one.redelivery_id not in unchanged:
            by_listener[one.entry.listener_id].append(one)
    found: dict[int, Result] = {}
    for group in by_listener.values():
        found |= _or_failed(group, turns)
    return found


def _or_failed(deliveries: Sequence[Delivery], turns: Turns) -> dict[int, Result]:
    """An unforeseen error fails these attempts, and not those that share their message."""
    try:
        return _of_listener(deliveries, turns)
    except UNAVAILABLE:
        raise
    except Exception as error:
        log.exception("later changes cannot be told", deliveries=len(deliveries))
        return {one.pk: failed(error) for one in deliveries}


def _may_be_overtaken(delivery: Delivery) -> bool:
    mapping: HandlerMapping | None = delivery.asked_by
    if mapping is None:  # it is not delivered
        return False
    is_in_a_chain = delivery.chain and mapping.ordering == HandlerMapping.Ordering.PER_RECORD
    return not is_in_a_chain or delivery.may_be_overtaken or _was_tried_before(delivery)


def _was_tried_before(delivery: Delivery) -> bool:
    return bool(delivery.redelivery_id or delivery.attempts_before or delivery.attempts > 1)


def _as_recorded(deliveries: Sequence[Delivery]) -> set[int]:
    """The redeliveries of these that are to send changes as they were recorded."""
    ids = {one.redelivery_id for one in deliveries if one.redelivery_id}
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
    views = Views(HandlerMapping.objects.filter(listener=listener.pk))
    overtaken = [
        _Overtaken(one, later)
        for one in suspects
        if (later := _later(one, history_of[key_of(one.entry)], views, turns)) is not None
    ]
    unread = [one for one in overtaken if _exists(one) and one.needs_record]
    records = current_records.read(listener, [key_of(one.delivery.entry) for one in unread])
    return {
        one.delivery.pk: result
        for one in overtaken
        if (result := _result(one, records)) is not None
    }


def _with_later_changes(deliveries: Sequence[Delivery], turns: Turns) -> list[Delivery]:
    """Those to look at closely: of first attempts only where a later delivery of the record has
    begun, for whatever target."""
    sure = {
        one.pk
        for one in deliveries
        if _was_tried_before(one) or one.entry.source != AuditLogEntry.Source.STREAM
    }
    others = [one for one in deliveries if one.pk not in sure]
    if others:
        rows = later_rows(others[0].entry.listener_id, others)
        sure |= {
            one.pk
            for one in others
            if any(
                row.entry_id > one.entry_id and turns.has_begun(row, one)
                for row in rows.get(one.entry.record_id, ())
            )
        }
    return [one for one in deliveries if one.pk in sure]


def _later(delivery: Delivery, history: History, views: Views, turns: Turns) -> Later | None:
    """None where a first attempt comes in its order after all."""
    others = views.others(delivery, history.rows)
    progress = Progress.of(delivery, others, turns, history.timeline)
    if not (_was_tried_before(delivery) or progress.is_ahead):
        return None
    return Later.than(delivery.entry, history.timeline, progress.end)


def _exists(overtaken: _Overtaken) -> bool:
    return overtaken.later.exists and overtaken.delivery.entry.change_type not in DELETIONS


def _result(
    overtaken: _Overtaken, records: Mapping[current_records.Record, object]
) -> Result | None:
    """None where it is delivered as it was recorded."""
    entry, later = overtaken.delivery.entry, overtaken.later
    if entry.change_type in DELETIONS:
        return _restored(later) if later.exists else None
    if not later.exists:
        return Skipped(f"the record was deleted since{_by(later)}")
    if overtaken.needs_record:
        match records.get(key_of(entry)):
            case NotRead() as error:
                return Failed(
                    f"a later change of {entry.entity_name} {entry.record_id} was recorded without "
                    f"its values, and the record could not be read from Salesforce: {error}"
                )
            case dict() as record:
                later.fields.fill(record)
            case _:
                return Skipped(GONE)
    if later.fields.is_untouched:
        return None
    values = present(entry.changed_data, later.fields, is_whole=overtaken.is_whole)
    return values if values.superseded_fields else None


def _restored(later: Later) -> Skipped:
    return Skipped(f"the record was restored since{_by(later)}")


def _by(later: Later) -> str:
    return f" (entry {later.turned_by.pk})" if later.turned_by else ""
