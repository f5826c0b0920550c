"""Mask the present values of sensitive fields in what an attempt leaves behind.

An error is stored with recorded values, which `audit.log.masking` masks for its readers. The values
that a handler got in their place are not known there, so they are not stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from audit.log.masking import ELSEWHERE
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Skipped, Succeeded
from handlers.superseded.fields import UNKNOWN, Others, present
from handlers.superseded.history import History, Turns, Views, histories, key_of, progress
from handlers.superseded.timeline import WHOLE, Later, Timeline
from handlers.types import Claim
from listeners.field_masking import Fields, fields_of, is_touched, sensitive_values, without

log = structlog.get_logger(__name__)

Result = TypeVar("Result", bound=Succeeded | Skipped | Failed)
#: The newest changes of a record whose values are masked in an error of an external task.
CHANGES = 50
WITHHELD = (
    "The error of the task is not stored: the present values of sensitive fields, which it may "
    "quote, are not known."
)


def hidden_values(claims: Sequence[Claim]) -> set[str]:
    """Return the sensitive values that errors of a call with these changes must not show: of
    overtaken changes the recorded and the present ones, and of a batch the recorded ones of every
    change, since an error may quote another record than its reader's masking knows."""
    is_batch = len(claims) > 1
    found: set[str] = set()
    for claim in claims:
        present_data = (
            claim.overtaken.changed_data if isinstance(claim.overtaken, Present) else None
        )
        if present_data is not None or is_batch:
            found |= _values(claim.delivery.entry, [present_data or {}])
    return found


def masked(outcome: Result, values: Collection[str]) -> Result:
    """Return the outcome of an attempt without these values."""
    if not values:
        return outcome
    text: Any = outcome
    names = [name for name in ("reason", "error", "traceback") if hasattr(outcome, name)]
    found: Result = replace(
        text, **{name: without(getattr(outcome, name), values, ELSEWHERE) for name in names}
    )
    return found


def masked_reports(
    failures: Mapping[int, Failed], deliveries: Iterable[Delivery]
) -> dict[int, Failed]:
    """Return failures of external tasks, by delivery, without the sensitive values that the tasks
    may have been sent in place of the recorded ones. Three queries for each listener, and one for
    redeliveries.

    Records are not read over REST: others wait for these reports. If the audit log lacks such a
    value, the error is withheld.
    """
    by_listener: defaultdict[int, list[Delivery]] = defaultdict(list)
    suspects = [
        delivery
        for delivery in deliveries
        if delivery.pk in failures and _fields(delivery.entry) and _may_be_changed(delivery)
    ]
    as_recorded = _as_recorded(suspects)
    for delivery in suspects:
        if delivery.redelivery_id not in as_recorded:
            by_listener[delivery.entry.listener_id].append(delivery)
    found = dict(failures)
    for listener_id, group in by_listener.items():
        for pk, values in _sent_values(listener_id, group).items():
            failure = failures[pk]
            withheld = replace(failure, error=WITHHELD, traceback="")
            found[pk] = withheld if values is None else masked(failure, values)
    return found


def _may_be_changed(delivery: Delivery) -> bool:
    """Return whether the delivery may have had present values. First attempts of a chain had the
    recorded ones."""
    is_in_order = delivery.chain and not delivery.may_be_overtaken
    is_first = delivery.attempts == 1 and not delivery.attempts_before
    return not (is_in_order and is_first) or delivery.redelivery_id is not None


def _as_recorded(deliveries: Iterable[Delivery]) -> set[int]:
    """Return the ids of the redeliveries that send changes as recorded."""
    ids = {delivery.redelivery_id for delivery in deliveries if delivery.redelivery_id}
    found = Redelivery.objects.filter(pk__in=ids, as_recorded=True).order_by()
    return set(found.values_list("pk", flat=True))


def _sent_values(listener_id: int, deliveries: Sequence[Delivery]) -> dict[int, set[str] | None]:
    """Return the sensitive values, by delivery, of the records' newest changes, and the present
    ones; None if these are not known."""
    history_of = histories(listener_id, deliveries)
    views = Views(HandlerMapping.with_deleted.filter(listener=listener_id))
    fields_by_key = {key_of(delivery.entry): _fields(delivery.entry) for delivery in deliveries}
    newest = {
        key: _newest(history_of[key].timeline, fields) for key, fields in fields_by_key.items()
    }
    found: dict[int, set[str] | None] = {}
    for delivery in deliveries:
        key = key_of(delivery.entry)
        try:
            data = _present(delivery, history_of[key], views)
        except Exception:
            log.exception("could not evaluate later changes", delivery=delivery.pk)
            data = None
        if data is None or _is_unknown(data, fields_by_key[key]):
            found[delivery.pk] = None
        elif any(pk != delivery.entry_id for pk in newest[key]):
            found[delivery.pk] = set().union(_values(delivery.entry, [data]), *newest[key].values())
    return found


def _newest(timeline: Timeline, fields: Fields) -> dict[int, set[str]]:
    """Return the sensitive values of the newest changes of a record, by entry."""
    newest = timeline.between(-1, None)[-CHANGES:]
    return {entry.pk: sensitive_values(entry.changed_data, fields) for entry in newest}


def _present(delivery: Delivery, history: History, views: Views) -> dict[str, Any] | None:
    """Return the data of a change with the present values that the audit log has, and UNKNOWN for
    the others; None if any field may have been added."""
    entry, timeline = delivery.entry, history.timeline
    _, end = progress(delivery, views.others(delivery, history.rows), Turns({}), timeline)
    later = Later.than(entry, timeline, end).fields
    is_whole = entry.change_type in WHOLE
    if is_whole and later.others is Others.UNKNOWN:
        return None
    return present(entry.changed_data, later, is_whole=is_whole).changed_data


def _is_unknown(data: Mapping[str, Any], fields: Fields, path: tuple[str, ...] = ()) -> bool:
    """Return whether a sensitive field, or one that contains it, has no known value."""
    return any(
        (value is UNKNOWN and is_touched((*path, name), fields))
        or (isinstance(value, Mapping) and _is_unknown(value, fields, (*path, name)))
        for name, value in data.items()
    )


def _fields(entry: AuditLogEntry) -> Fields:
    """Return the paths of the sensitive fields in a change."""
    patterns = entry.listener.sensitive_fields
    return fields_of(tuple(patterns), entry.entity_name) if patterns else ()


def _values(entry: AuditLogEntry, bodies: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the sensitive values of a change, and of other data of its record."""
    fields = _fields(entry)
    if not fields:
        return set()
    return {
        value for body in (entry.changed_data, *bodies) for value in sensitive_values(body, fields)
    }
