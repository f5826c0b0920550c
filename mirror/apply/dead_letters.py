"""Recovers the deliveries to mirrors that have failed for good: their records are read instead.

The mappings of mirrors halt the chain of a dead letter (`on_dead`), so that no later change of the
record is applied to a row that lacks an earlier one. Recovery marks the record dirty and skips the
dead letter, which releases the chain: the later events leave the row alone until it is read.
"""

from __future__ import annotations

import structlog
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Concat

from handlers.models import Delivery
from handlers.models.delivery_queryset import DeliveryQuerySet
from listeners.salesforce.rest.records import long_id
from mirror.apply import dirty
from mirror.apply.dirty import Mark, Reason
from mirror.mappings import deliveries_of
from mirror.models import Mirror

log = structlog.get_logger(__name__)

State = Delivery.State
#: Deliveries that are recovered in one transaction.
ROWS = 500
_SKIPPED = "\nThe record is read from Salesforce instead."


def mirrors_with_halted_chains() -> set[int]:
    """Return the mirrors that have dead letters to recover. One query, from an index of the few
    deliveries that halt a chain."""
    halting = Delivery.objects.filter(halts=True, mapping__managed=True).order_by()
    return {
        options["mirror"]
        for options in halting.values_list("mapping__options", flat=True).distinct()
        if "mirror" in options
    }


def recover(mirror: Mirror) -> list[int]:
    """Mark the records of the mirror's dead letters dirty, and skip the dead letters; return the
    deliveries that can start. Never inside a transaction."""
    ready: list[int] = []
    while ids := list(_dead(mirror).order_by("id").values_list("pk", flat=True)[:ROWS]):
        ready += _recover(mirror, ids)
    return ready


def _recover(mirror: Mirror, ids: list[int]) -> list[int]:
    with transaction.atomic(durable=True):
        held = list(_dead(mirror).filter(pk__in=ids).select_related("entry").locked())
        marks = [
            Mark(
                long_id(one.entry.record_id),
                one.entry.commit_timestamp,
                one.entry.commit_timestamp,
                Reason.FAILED,
                one.error,
            )
            for one in held
        ]
        dirty.mark_all(mirror, marks)
        Delivery.objects.filter(pk__in=[one.pk for one in held]).update(
            state=State.SKIPPED, halts=False, error=Concat("error", Value(_SKIPPED))
        )
        followers = Delivery.objects.promote({one.chain for one in held} - {""})
    log.warning("dead letters of a mirror recovered", mirror=mirror.model, deliveries=len(held))
    return [follower.id for follower in followers]


def _dead(mirror: Mirror) -> DeliveryQuerySet:
    return deliveries_of(mirror, State.DEAD)
