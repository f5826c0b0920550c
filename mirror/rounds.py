"""Starts the due work of mirrors, in the rounds of the relay.

The long work is done by tasks: a round asks neither Salesforce nor another database.
"""

from __future__ import annotations

from datetime import datetime

from mirror import runs
from mirror.apply import release, upkeep
from mirror.load import lost_time
from mirror.verify import late_events, schedule


def run_due(now: datetime) -> None:
    """Start runs, gap searches and reads of dirty records that are due. Never inside a
    transaction."""
    runs.start_due(now)
    upkeep.start_due(now)


def sweep(now: datetime) -> None:
    """Start what is needed less often: sweeps after lost time, scheduled verifications and
    refreshes of formulas, and purges of tombstones. Release deliveries that a crash left waiting.
    Explain differences whose events arrived late. Never inside a transaction."""
    release.overdue()
    late_events.explain(now)
    lost_time.request_due(now)
    schedule.start_due(now)
    upkeep.start_purges(now)
