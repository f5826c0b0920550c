"""Mask the present values of sensitive fields in what an attempt leaves behind.

An error is stored with recorded values, which `audit.log.masking` masks for its readers. The values
that a handler got in their place are not known there, so they are not stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from audit.log.masking import ELSEWHERE
from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.sdk.events import Present
from handlers.sdk.outcomes import Failed, Skipped, Succeeded
from handlers.superseded.prepare import present_of
from handlers.types import Claim
from listeners.field_masking import fields_of, sensitive_values, without

Result = TypeVar("Result", bound=Succeeded | Skipped | Failed)
#: The newest changes of a record whose values are masked in an error of an external task.
CHANGES = 1000
WITHHELD = (
    "The error of the task is not stored: the present values of sensitive fields, which it may "
    "quote, are not known."
)


def hidden_values(claims: Iterable[Claim]) -> set[str]:
    """Return the sensitive values of the overtaken changes, both the recorded and the present."""
    return {
        value
        for claim in claims
        if isinstance(claim.overtaken, Present)
        for value in _values(claim.delivery.entry, [claim.overtaken.changed_data])
    }


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
    may have been sent: those of all changes of the record, and the present ones.

    Never inside a transaction: records may be read over REST.
    """
    hiding = [
        delivery
        for delivery in deliveries
        if delivery.pk in failures and delivery.entry.listener.sensitive_fields
    ]
    results = present_of(hiding)
    found = dict(failures)
    for delivery in hiding:
        failure = failures[delivery.pk]
        bodies = _other_bodies(delivery.entry)
        match results.get(delivery.pk):
            case Failed():
                found[delivery.pk] = replace(failure, error=WITHHELD, traceback="")
                continue
            case Present(changed_data):
                bodies.append(changed_data)
        if bodies:
            found[delivery.pk] = masked(failure, _values(delivery.entry, bodies))
    return found


def _values(entry: AuditLogEntry, bodies: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the sensitive values of a change, and of other data of its record."""
    patterns = entry.listener.sensitive_fields
    if not patterns:
        return set()
    fields = fields_of(tuple(patterns), entry.entity_name)
    return {
        value for body in (entry.changed_data, *bodies) for value in sensitive_values(body, fields)
    }


def _other_bodies(entry: AuditLogEntry) -> list[dict[str, Any]]:
    """Return the data of the newest other changes of a record."""
    rows = AuditLogEntry.objects.filter(
        listener_id__gte=entry.listener_id,
        listener_id__lte=entry.listener_id,
        record_id=entry.record_id,
        entity_name=entry.entity_name,
    )
    others = rows.exclude(pk=entry.pk).order_by("-id")
    return list(others.values_list("changed_data", flat=True)[:CHANGES])
