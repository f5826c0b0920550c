"""The due work of mirrors, as parts of the relay.

The long work is done by tasks: a part asks neither Salesforce nor another database. Parts are
called with the time, never inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audit.internal_errors import step
from handlers.broker import BrokerUnavailable
from listeners.threads import Step
from mirror import runs
from mirror.apply import release, upkeep
from mirror.load import lost_time
from mirror.verify import late_events, schedule


def _part(name: str, work: Callable[..., object], consequence: str) -> Step:
    return step(f"mirrors: {name}", work, consequence, expected=(BrokerUnavailable,))


#: Parts that run each second.
DUE: Sequence[Step] = (
    _part(
        "start runs",
        runs.start_due,
        "Loads, sweeps, verifications and repairs of mirrors are not started.",
    ),
    _part(
        "start upkeep",
        upkeep.start_due,
        "Mirrored records that must be read from Salesforce are not read.",
    ),
)
#: Repairs, which are needed less often.
REPAIRS: Sequence[Step] = (
    _part(
        "release deliveries",
        lambda now: release.release_overdue(),
        "Deliveries that a crash left waiting for a mirror are not released.",
    ),
    _part(
        "explain differences",
        late_events.explain,
        "Differences of mirrors whose events arrived late stay unexplained.",
    ),
    _part(
        "start sweeps",
        lost_time.request_due,
        "Mirrors are not compared with Salesforce after lost time.",
    ),
    _part(
        "start verifications",
        schedule.start_due,
        "Scheduled verifications of mirrors are not started.",
    ),
    _part(
        "purge tombstones",
        upkeep.start_purges,
        "Rows of deleted records are not purged.",
    ),
)
