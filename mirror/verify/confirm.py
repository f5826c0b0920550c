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
    checked, pending = _pending(comparison, checked) if differing else (checked, set[str]())
    lasting = [record_id for record_id in checked.differing if record_id not in pending]
    return Confirmed(
        checked,
        checked.mismatches(lasting),
        sorted(pending.intersection(checked.differing)),
        late=number - len(checked.differing) - refused,
        refused=refused,
    )


def _pending(comparison: Comparison, checked: Checked) -> tuple[Checked, set[str]]:
    """Return the last check of the records that differ, and those whose changes are on their way.

    A change that was applied between a check and the look at what is on its way is in neither: so
    the others are checked again, and a difference that is another one then does not last either.
    """
    differing = checked.differing
    pending = comparison.on_their_way(checked, differing)
    again = comparison.check(differing)
    pending |= {
        record_id
        for record_id in again.differing
        if again.mismatches([record_id]) != checked.mismatches([record_id])
    }
    return again, pending
