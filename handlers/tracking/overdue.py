"""Ends the attempts of tracked deliveries whose tasks were not reported in time.

A courier calls this when it has read its destination's queue: a report that arrived in time has
been read then, also after the listener processes were away for long.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db import transaction

from audit.db.prepared import Prepared
from audit.db.retry import retry
from handlers.external.inspection import Survey, survey
from handlers.models import Delivery, Destination, HandlerMapping
from handlers.models.delivery_queryset import AWAITS_REPORT
from handlers.sdk.outcomes import Failed
from handlers.tracking.claims import claims_of
from handlers.tracking.events import details
from handlers.tracking.settle import settle, task_id_of
from handlers.types import Claim, Ended
from listeners.clock import database_clock

#: The number of deliveries that one call ends.
LIMIT = 1000
DEAD = HandlerMapping.OnUnknown.DEAD


def end_unreported(
    destination: Destination | None, overdue_by: timedelta = timedelta()
) -> list[int]:
    """Settle attempts of a destination that are overdue by some time as unknown; return the
    deliveries that can start now. Never inside a transaction."""
    overdue = Delivery.objects.unreported(database_clock.now() - overdue_by)
    overdue = overdue.filter(destination=destination).order_by("claim_deadline")
    if not retry(overdue.exists, "look for overdue deliveries"):
        return []
    found = survey(destination)  # takes seconds
    claims = retry(lambda: claims_of(overdue[:LIMIT]), "load overdue deliveries")
    now = database_clock.now()
    _, following = settle(
        [Ended(claim, _outcome(claim, found), claim.started_at, now, worker="") for claim in claims]
    )
    return following


def adopt_orphans() -> int:
    """Move the tasks under way of destinations that are gone to our own broker's courier, which
    ends their attempts at their deadlines; return how many.

    A destination is not deleted while tasks are under way there, except by SQL, or if a process
    claims deliveries for it at that moment. Never inside a transaction.
    """
    sent = Delivery.objects.filter(AWAITS_REPORT)
    # Reads one row of the index for each destination.
    ids = sent.order_by("destination_id").values_list("destination_id", flat=True)
    used = [0]
    while (following := ids.filter(destination__gt=used[-1]).first()) is not None:
        used.append(following)
    gone = set(used[1:]).difference(Destination.objects.in_bulk(used))
    if not gone:
        return 0
    with transaction.atomic(durable=True):
        return sent.filter(destination__in=gone).update_unlocked(destination=None)


def _outcome(claim: Claim, found: Survey) -> Failed:
    delivery, mapping = claim.delivery, claim.delivery.mapping
    event = details.pop(delivery.destination_id, delivery.pk, claim.attempt)
    # Still unknown: anyone at the broker can send events, and another copy may have been started.
    expired = (
        f"The task expired: {event.worker} discarded it. " if event and event.is_expired else ""
    )
    error = (
        f"{expired}"
        f"No worker reported the end of the task by {delivery.claim_deadline:%Y-%m-%d %H:%M:%S} "
        f"UTC, so its outcome is unknown. {found.check(delivery.handler, delivery.queue).text} "
        f"Look for task id {task_id_of(claim)} in the logs of the workers: a task that was "
        "revoked, expired, or raised Ignore or Reject is not reported."
    )
    return Failed(" ".join(error.split()), kind="unknown", is_final=mapping.on_unknown == DEAD)


# Read every two seconds: compiled once.
_TRACKING = Prepared(
    lambda: (
        HandlerMapping.objects.filter(track=True)
        .exclude(task="")
        .order_by()
        .values_list("destination")
        .distinct()
    )
)
_AWAITED_HERE = Prepared(
    lambda: (
        Delivery.objects.filter(AWAITS_REPORT, destination=None).order_by().values_list("pk")[:1]
    )
)


def destinations_to_read() -> list[Destination | None]:
    """Return the destinations whose reports are expected, now or soon; None is our own broker."""
    used: Collection[int | None] = {pk for (pk,) in _TRACKING.rows()}
    others = [
        destination
        for destination in Destination.objects.all()
        if destination.pk in used
        or Delivery.objects.filter(AWAITS_REPORT, destination=destination).exists()
    ]
    own: list[Destination | None] = [None] if None in used or _AWAITED_HERE.rows() else []
    return [*own, *others]
