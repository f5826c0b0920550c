"""Starts the due work of mirrors, in the rounds of the relay.

The long work is done by tasks: a round asks neither Salesforce nor another database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


#: Repairs, which are needed less often than `run_due`: they release deliveries that a crash left
#: waiting, explain differences whose events arrived late, and start sweeps after lost time,
#: scheduled verifications and refreshes of formulas, and purges of tombstones. Never inside a
#: transaction.
REPAIRS: Sequence[Callable[[datetime], object]] = (
    lambda now: release.release_overdue(),
    late_events.explain,
    lost_time.request_due,
    schedule.start_due,
    upkeep.start_purges,
)
