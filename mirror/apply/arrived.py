"""The commit times up to which a listener has received changes, and its mirrors have applied them.
Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Subquery

from handlers.models import Delivery
from mirror.mappings import deliveries_of
from mirror.models import Mirror

#: The log of a listener may lack changes that were committed this shortly before.
_MARGIN = timedelta(seconds=2)


def received_until(position: Any) -> datetime | None:
    """Return the time up to which the log of a listener with this position has every change that
    Salesforce published; None if it is not known."""
    moments = () if position is None else (position.caught_up_at, position.last_event_at)
    known = [moment - _MARGIN for moment in moments if moment is not None]
    return max(known, default=None)


def unapplied(mirror: Mirror) -> Iterator[int]:
    """Yield the commit times, in ms since 1970, of the mirror's oldest deliveries in each state
    that has not ended well.

    In one statement: between two, a delivery that is retried could go from a state that is still to
    be asked for to one that was.
    """
    # Not by the id itself: PostgreSQL would search all ended deliveries by the primary key.
    by_id = F("id") + 0
    oldest = (
        Subquery(deliveries_of(mirror, state).order_by(by_id).values("entry__commit_timestamp")[:1])
        for state in (*Delivery.UNENDED, Delivery.State.DEAD)
    )
    for found in Mirror.objects.filter(pk=mirror.pk).values_list(*oldest):
        yield from (committed for committed in found if committed is not None)
