"""The rows that record a run's end: the delivery's new state and the attempt."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from handlers.dead_letters import halt
from handlers.dead_letters.fingerprint import group_of
from handlers.models import Delivery, DeliveryAttempt
from handlers.sdk.outcomes import Failed, Outcome, Skipped, Succeeded, storable
from handlers.types import Ended
from listeners.salesforce.backoff import Backoff


def changes(delivery: Delivery, outcome: Outcome, counted: int, now: datetime) -> dict[str, Any]:
    """Return the changed columns of a delivery whose attempt ended with `outcome`.

    `counted` is the number of its attempts that count against the limit.
    """
    match outcome:
        case Succeeded():
            return {"state": Delivery.State.SUCCEEDED, "error": "", "finished_at": now}
        case Skipped(reason):
            return {"state": Delivery.State.SKIPPED, "error": storable(reason), "finished_at": now}
        case Failed(error) if counted >= delivery.allowed_attempts:
            return {
                "state": Delivery.State.DEAD,
                "halts": halt.halts(delivery),
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "finished_at": now,
            }
        case Failed(error, after=after):
            delay = backoff().delay(counted) if after is None else after
            return {
                "state": Delivery.State.RETRYING,
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "due_at": now + timedelta(seconds=delay),
            }


def attempt_of(ended: Ended) -> DeliveryAttempt:
    """Return the unsaved row of an attempt that has ended."""
    delivery = ended.claim.delivery
    return DeliveryAttempt(
        delivery_id=delivery.pk,
        number=ended.claim.attempt,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
        worker=socket.gethostname(),
        redelivery_id=delivery.redelivery_id,
        **_logged(ended.outcome),
    )


def _logged(outcome: Outcome) -> dict[str, str]:
    match outcome:
        case Succeeded():
            return {"outcome": DeliveryAttempt.Outcome.SUCCEEDED}
        case Skipped(reason):
            return {"outcome": DeliveryAttempt.Outcome.SKIPPED, "error": storable(reason)}
        case Failed(error, trace, kind=kind):
            return {
                "outcome": DeliveryAttempt.Outcome(kind),
                "error": storable(error),
                "traceback": storable(trace),
            }


def backoff() -> Backoff:
    """Return the back-off between the attempts of a delivery."""
    return Backoff(settings.CDC_RETRY_BASE_SECONDS, settings.CDC_RETRY_CAP_SECONDS)
