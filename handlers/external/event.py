"""The whole event of a delivery, for a task that was sent a reference to it."""

from __future__ import annotations

from handlers.models import Delivery
from handlers.sdk.events import EventData, Present
from handlers.sdk.outcomes import Failed, Skipped
from handlers.superseded.prepare import present_of


def event_of(delivery: Delivery) -> EventData | Skipped | Failed:
    """Return the event as an attempt that begins now would get it: with present values where later
    changes of the record have overtaken it.

    Skipped: the record was deleted or restored since. Failed: a present value cannot be read now.
    The delivery has its entry, listener and mapping loaded. Never inside a transaction: records may
    be read over REST.
    """
    result = present_of([delivery]).get(delivery.pk)
    if isinstance(result, Skipped | Failed):
        return result
    present = result if isinstance(result, Present) else None
    return EventData.of(delivery.entry, attempt=max(delivery.attempts, 1), present=present)
