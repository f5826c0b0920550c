"""How long a listener stays away after what ended its session."""

from __future__ import annotations

import random

from django.conf import settings

from listeners.salesforce.backoff import Backoff
from listeners.salesforce.errors import (
    LoginUnavailable,
    Reaction,
    SalesforceError,
    TransportFailed,
)


def pause_after(error: SalesforceError, failures: int) -> float:
    """Seconds before the next try, after so many failures in a row."""
    asked = error.retry_after if isinstance(error, LoginUnavailable | TransportFailed) else None
    match error.reaction:
        case Reaction.BACK_OFF_LONG:
            pause = random.uniform(*settings.CDC_LONG_BACKOFF)
        case Reaction.QUOTA:
            pause = settings.CDC_QUOTA_PROBE * random.uniform(0.8, 1.2)
        case Reaction.RETRY:
            pause = backoff().delay(failures)
        case _:  # a lost session is opened again at once, and only then more slowly
            pause = backoff().delay(failures - 1) if failures > 1 else 0.0
    return max(pause, min(asked or 0.0, 600.0))


def backoff() -> Backoff:
    """Return the back-off between the sessions of a listener."""
    return Backoff(1.0, settings.CDC_RECONNECT_CAP_SECONDS)
