"""The delay before a listener reconnects, by the error that ended its session."""

from __future__ import annotations

import random

from django.conf import settings

from listeners.backoff import Backoff
from listeners.salesforce.errors import (
    LoginUnavailable,
    Reaction,
    SalesforceError,
    TransportFailed,
)


def pause_after(error: SalesforceError, failures: int) -> float:
    """Return the seconds to wait before the next attempt, after `failures` in a row."""
    requested = error.retry_after if isinstance(error, LoginUnavailable | TransportFailed) else None
    match error.reaction:
        case Reaction.BACK_OFF_LONG:
            pause = random.uniform(*settings.CDC_LONG_BACKOFF)
        case Reaction.QUOTA:
            pause = settings.CDC_QUOTA_PROBE * random.uniform(0.8, 1.2)
        case Reaction.RETRY:
            pause = backoff().delay(failures)
        case _:  # the first reconnect after a lost session is immediate
            pause = backoff().delay(failures - 1) if failures > 1 else 0.0
    return max(pause, min(requested or 0.0, 600.0))


def backoff() -> Backoff:
    """Return the back-off between the sessions of a listener."""
    return Backoff(1.0, settings.CDC_RECONNECT_CAP_SECONDS)
