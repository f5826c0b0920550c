"""Confirms differences: one whose change is still on its way is checked again, not counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mirror.verify.compare import Mismatch
from mirror.verify.comparison import Checked, Comparison

#: Reads of a record until its difference counts, and the seconds between two of them.
READS, PAUSE = 3, 3.0


@dataclass(slots=True)
class Confirmed:
    """The result of checking records that seemed to differ.

    mismatches   differences that lasted, of records whose changes have all arrived
    pending      records that still differ, and whose changes are on their way
    late         records that were equal after all
    refused      records that Salesforce refuses to read
    """

    last: Checked
    mismatches: list[Mismatch] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    late: int = 0
    refused: int = 0


def confirm(
    comparison: Comparison, ids: Iterable[str], on_pause: Callable[[], object] = lambda: None
) -> Confirmed:
    """Check at most MAX_IDS records until they are equal, or their differences last.

    `on_pause` is called before each pause. Raises what RestClient raises.
    """
    left = sorted(set(ids))
    number, refused = len(left), 0
    checked = comparison.check(left)
    for _ in range(READS - 1):
        refused += len(checked.read.refused)
        left = checked.differing
        if not left:
            break
        on_pause()
        time.sleep(PAUSE)
        checked = comparison.check(left)
    differing = checked.differing
    pending = comparison.on_their_way(checked, differing) if differing else set()
    lasting = [record_id for record_id in differing if record_id not in pending]
    return Confirmed(
        checked,
        checked.mismatches(lasting),
        sorted(pending.intersection(differing)),
        late=number - len(differing) - refused,
        refused=refused,
    )
