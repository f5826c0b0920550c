"""A comparison in words."""

from __future__ import annotations

import time
from collections.abc import Callable

from consumer.reconciliation.progress import Figures, Progress

#: Seconds between two lines of progress.
PAUSE = 2.0


class Ticker:
    """Says how far it is, now and then."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if not progress.entity or time.monotonic() - self._said_at < PAUSE:
            return
        self._said_at = time.monotonic()
        figures = progress.figures[progress.entity]
        self._say(f"{progress.entity}: {figures.compared:,} compared, {figures.missing:,} missing")


def line(entity: str, figures: Figures, *, records: bool) -> str:
    """How complete the log is, with the numbers that say so."""
    count, missing = figures.compared, figures.missing
    were, are = ("was", "is") if missing == 1 else ("were", "are")
    outcome = "recorded now" if records else "not recorded"
    rest = f"{missing:,} {were} missing and {are} {outcome}" if missing else "none was missing"
    return (
        f"{entity}: {completeness(figures)} of {count:,} records were in the audit log; {rest} "
        f"(compared {count:,}, present {figures.present:,}, missing {missing:,}, "
        f"added {missing if records else 0:,})"
    )


def completeness(figures: Figures) -> str:
    """Only what is whole is called 100 %."""
    if not figures.missing:
        return "100 %"
    return f"{min(100 * figures.present / figures.compared, 99.99):.2f} %"
