"""How a run's end is written down: the delivery's state, its attempt, and the next of its chain."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from handlers import halting
from handlers.dead_letters.fingerprint import group_of
from handlers.models import Delivery, DeliveryAttempt
from handlers.outcomes import Failed, Outcome, Skipped, Succeeded, storable


def changes(delivery: Delivery, outcome: Outcome, counted: int, now: datetime) -> dict[str, Any]:
    """What becomes of a delivery whose attempt ended so; `counted`: its attempts that count against
    the limit."""
    match outcome:
        case Succeeded():
            return {"state": Delivery.State.SUCCEEDED, "error": "", "finished_at": now}
        case Skipped(reason):
            return {"state": Delivery.State.SKIPPED, "error": storable(reason), "finished_at": now}
        case Failed(error) if counted >= delivery.allowed_attempts:
            return {
                "state": Delivery.State.DEAD,
                "halts": halting.halts(delivery),
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "finished_at": now,
            }
        case Failed(error, after=after):
            delay = backoff(counted) if after is None else after
            return {
                "state": Delivery.State.RETRYING,
                "error": storable(error),
                "error_group": group_of(delivery, error),
                "due_at": now + timedelta(seconds=delay),
            }


def logged(outcome: Outcome) -> dict[str, str]:
    """What its attempt keeps of it."""
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


def backoff(attempt: int) -> float:
    """Seconds until the next attempt: full jitter under an exponential ceiling."""
    ceiling = settings.CDC_RETRY_BASE_SECONDS * 2 ** min(attempt - 1, 30)
    return random.uniform(0, min(ceiling, settings.CDC_RETRY_CAP_SECONDS))
