"""A process whose clock is wrong: `processes.worker(**clock_off_by(hours=1))`."""

import os
from datetime import datetime, timedelta

from django.utils import timezone

_VARIABLE = "CDC_TEST_CLOCK_OFF_BY"


def clock_off_by(**span: float) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead by that span."""
    return {_VARIABLE: str(timedelta(**span).total_seconds())}


def install() -> None:
    """Shift `timezone.now` of this process as its environment says; its settings call this."""
    off_by = timedelta(seconds=float(os.environ.get(_VARIABLE, "0")))
    if off_by:
        right = timezone.now
        vars(timezone)["now"] = lambda: right() + off_by


def a_moment_ago() -> datetime:
    """Return a time that is past on the database's clock, too: SQLite's has milliseconds."""
    return timezone.now() - timedelta(seconds=1)
