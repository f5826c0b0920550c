"""Claims of tracked deliveries: each is the right to send one attempt's task, and then to wait for
its report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from handlers.models import Delivery, Destination
from handlers.models.delivery_queryset import EARLY
from handlers.types import Claim
from handlers.worker import hot_sql

State = Delivery.State


def claim(ids: Collection[int], destination: Destination | None, now: datetime) -> list[Claim]:
    """Begin an attempt of the tracked deliveries among `ids` that are ready or due for a retry, and
    whose tasks are to be sent to a destination.

    Each waits for its report for its mapping's `report_timeout`, on the database's clock. A task
    is sent after the commit of its claim, so that its report finds the claim. Never inside a
    transaction.
    """
    sendable = Delivery.objects.sendable(ids, due_by=now + EARLY)
    by_timeout: defaultdict[int, list[int]] = defaultdict(list)
    with transaction.atomic(durable=True):
        free = sendable.order_by().select_for_update(skip_locked=True, of=("self",))
        for pk, timeout in free.values_list("pk", "mapping__report_timeout"):
            by_timeout[timeout].append(pk)
        for timeout, same in by_timeout.items():
            Delivery.objects.filter(pk__in=same).update(
                state=State.QUEUED,
                paused=False,
                attempts=F("attempts") + 1,
                destination=destination,
                queued_at=now,
                started_at=None,
                claim_deadline=Now() + timedelta(seconds=timeout),
            )
        claimed = {pk for same in by_timeout.values() for pk in same}
        # Before the commit: a claim that could not be loaded would not be sent.
        return claims_of(Delivery.objects.filter(pk__in=claimed).order_by("id"))


def claims_of(deliveries: Iterable[Delivery]) -> list[Claim]:
    """Return the claims of deliveries that wait for a report, with entries and mappings loaded."""
    return [
        Claim(delivery, delivery.attempts, begun_at)
        for delivery in hot_sql.load_all(list(deliveries))
        if (begun_at := delivery.started_at or delivery.queued_at) is not None
    ]


def release(claims: Collection[Claim]) -> None:
    """Release claims whose tasks were certainly not sent: such an attempt did not take place.

    Never inside a transaction.
    """
    if not claims:
        return
    with transaction.atomic(durable=True):
        held = Delivery.objects.running({claim.delivery.pk: claim.attempt for claim in claims})
        Delivery.objects.filter(pk__in=held).update(
            state=Case(When(due_at=None, then=Value(State.READY)), default=Value(State.RETRYING)),
            attempts=F("attempts") - 1,
            queued_at=None,
            claim_deadline=None,
        )
