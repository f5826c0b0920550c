"""Ends the attempts of tracked deliveries whose tasks were not reported in time.

A courier calls this when it has found its destination's queue empty: a report that arrived in time
has been read then, also after the listener processes were away for long.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import QuerySet

from audit.db.retry import retry
from handlers.external.inspection import Survey, survey
from handlers.models import Delivery, Destination, HandlerMapping
from handlers.sdk.outcomes import Failed
from handlers.tracking.claims import claims_of
from handlers.tracking.settle import settle, task_id_of
from handlers.types import Claim, Ended
from listeners.clock import database_clock

#: The number of deliveries that one call ends.
LIMIT = 1000
DEAD = HandlerMapping.OnUnknown.DEAD


def end_unreported(destination: Destination | None) -> list[int]:
    """Settle overdue attempts of a destination as unknown; return the deliveries that can start
    now. Never inside a transaction."""
    if not retry(_overdue(destination).exists, "look for overdue deliveries"):
        return []
    found = survey(destination)  # takes seconds
    claims = retry(lambda: claims_of(_overdue(destination)), "load overdue deliveries")
    now = database_clock.now()
    _, following = settle(
        [Ended(claim, _outcome(claim, found), claim.started_at, now, worker="") for claim in claims]
    )
    return following


def _overdue(destination: Destination | None) -> QuerySet[Delivery]:
    overdue = Delivery.objects.unreported(database_clock.now())
    return overdue.filter(mapping__destination=destination).order_by("claim_deadline")[:LIMIT]


def _outcome(claim: Claim, found: Survey) -> Failed:
    delivery, mapping = claim.delivery, claim.delivery.mapping
    error = (
        f"No worker reported the end of the task within {mapping.report_timeout} seconds, so its "
        f"outcome is unknown. {found.check(delivery.handler, delivery.queue).text} Look for task "
        f"id {task_id_of(claim)} in the logs of the workers."
    )
    return Failed(" ".join(error.split()), kind="unknown", is_final=mapping.on_unknown == DEAD)


def destinations_to_read() -> list[Destination | None]:
    """Return the destinations whose reports are expected; None is our own broker.

    A mapping may have changed its destination since tasks were sent, so while reports are missing
    the queues of all destinations are read.
    """
    tracking = HandlerMapping.objects.filter(track=True).exclude(task="").order_by()
    used: Collection[int | None] = set(tracking.values_list("destination", flat=True))
    is_awaiting = Delivery.objects.filter(is_tracked=True, state__in=("queued", "running")).exists()
    found: list[Destination | None] = [
        destination
        for destination in Destination.objects.all()
        if is_awaiting or destination.pk in used
    ]
    return [None, *found] if is_awaiting or None in used else found
