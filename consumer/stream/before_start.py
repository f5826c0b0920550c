"""What a listener that began at the tip is sent of the time before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

#: A transaction may be committed a while before it is published, and clocks differ: rather a few
#: changes from before the beginning than one missing from after it.
TIP_MARGIN = timedelta(minutes=2)


def is_history(message: Mapping[str, Any], began_at: datetime | None) -> bool:
    """Whether it was committed before a listener began; None: it passes over nothing."""
    if began_at is None:
        return False
    first = (began_at - TIP_MARGIN).timestamp() * 1000
    return _committed(message, first) < first


def _committed(message: Mapping[str, Any], default: float) -> float:
    """When the change was committed, in ms; the default for what cannot be read here."""
    try:
        value = message["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"]
        return float(value)
    except (KeyError, TypeError, ValueError):
        return default
