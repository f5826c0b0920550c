"""Recognizes changes that were committed before a listener began at the tip."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

#: Changes committed up to this long before the beginning are recorded: a transaction is published
#: some time after its commit, and clocks differ.
TIP_MARGIN = timedelta(minutes=2)


def is_history(message: Mapping[str, Any], began_at: datetime | None) -> bool:
    """Return whether a message was committed before its listener began; False if `began_at` is
    None."""
    if began_at is None:
        return False
    first = (began_at - TIP_MARGIN).timestamp() * 1000
    return _committed(message, first) < first


def _committed(message: Mapping[str, Any], default: float) -> float:
    """Return the commit timestamp in milliseconds, or the default if the message has none."""
    try:
        value = message["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"]
        return float(value)
    except (KeyError, TypeError, ValueError):
        return default
