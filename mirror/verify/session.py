"""A verification or repair in progress: its counts, and what it records and repairs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from listeners.clock import database_clock
from listeners.salesforce.rest.client import MAX_IDS
from mirror import budget
from mirror.models import Difference, MirrorRun
from mirror.runs import Later, RunClaim
from mirror.schema.storable import storable_json
from mirror.verify import confirm
from mirror.verify.compare import Mismatch
from mirror.verify.comparison import Checked, Comparison
from mirror.verify.confirm import READS, Confirmed
from mirror.verify.metrics import DIFFERENCES

Reason = Difference.Reason
#: Differences that the platform cannot explain: each opens an incident.
UNEXPLAINED = frozenset({Reason.UNEXPLAINED, Reason.MISSING_ROW, Reason.NOT_DELETED})
#: Differences that a run stores with their values. All are repaired and counted. Deletions are
#: always stored, since `deletions` decides by their number.
MOST_STORED = 100_000
#: Pending records that a run checks again.
MOST_PENDING = 2_000


class Session:
    """The state of a run in this process. Never inside a transaction."""

    def __init__(self, claim: RunClaim) -> None:
        self.claim = claim
        self.run = claim.job
        self.mirror = claim.job.mirror
        self.cursor: dict[str, Any] = dict(claim.job.cursor)
        self.counts: Counter[str] = Counter(claim.job.report)
        #: Entries of the report besides the counts.
        self.remarks: dict[str, str] = {}
        self.comparison = Comparison(self.mirror, claim.job.options.get("fields", ()))

    @property
    def options(self) -> dict[str, Any]:
        """The run's options as now stored; a request may have extended them since the run began."""
        found = MirrorRun.objects.filter(pk=self.run.pk).values_list("options", flat=True)
        options: dict[str, Any] = found.first() or {}
        self.run.options = options
        return options

    def keep(self, **changes: Any) -> None:
        """Save the progress, and renew the claim."""
        report = {name: count for name, count in self.counts.items() if count} | self.remarks
        self.claim.keep(cursor=self.cursor, report=report, **changes)

    def pause(self) -> Later | None:
        """Return when the run continues if it must not read another page now: the org's daily API
        calls are nearly used up, or the slice is over."""
        used_up = budget.pause(self.comparison.rest)
        return used_up or (Later() if self.claim.is_slice_over else None)

    @property
    def pending(self) -> list[str]:
        """Records whose changes are on their way: to be checked again."""
        found: list[str] = self.cursor.get("pending", [])
        return found

    def settle(self, ids: Iterable[str]) -> None:
        """Confirm records that seem to differ, record their differences, and repair them.

        Records that are not in Salesforce are only recorded: `deletions` applies them.
        """
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), MAX_IDS):
            page = wanted[start : start + MAX_IDS]
            confirmed = confirm.confirm(self.comparison, page, on_pause=self.keep)
            self._record(confirmed)
            self.counts["late"] += confirmed.late
            self.counts["unreadable"] += confirmed.refused
            self.refresh(confirmed.last)
            self._wait_for(confirmed.pending)
            self.keep()

    def settle_differing(self, ids: Sequence[str]) -> None:
        """Compare records field by field, refresh their formulas, and settle those that differ."""
        for start in range(0, len(ids), MAX_IDS):
            checked = self.comparison.check(ids[start : start + MAX_IDS])
            self.refresh(checked)
            self.settle(checked.differing)

    def _wait_for(self, ids: Sequence[str]) -> None:
        known = sorted({*self.pending, *ids})
        self.cursor["pending"] = known[:MOST_PENDING]
        self.counts["unconfirmed"] += len(known[MOST_PENDING:])

    def _record(self, confirmed: Confirmed) -> None:
        mismatches = confirmed.mismatches
        if not mismatches:
            return
        fresh = self._unknown(mismatches)
        for mismatch in fresh:
            self.counts["differences"] += 1
            self.counts[f"reason_{mismatch.reason.value}"] += 1
            DIFFERENCES.labels(self.mirror.model, mismatch.reason.value).inc()
        unstored = {mismatch.record_id for mismatch in self.store(fresh)}
        left = self.repair(confirmed.last, {m.record_id for m in mismatches})
        self.counts["unstored"] += len(unstored.intersection(left))

    def _unknown(self, mismatches: Sequence[Mismatch]) -> list[Mismatch]:
        """Return the differences that no earlier step or run found and left open."""
        ids = {mismatch.record_id for mismatch in mismatches}
        opened = self.mirror.differences.filter(repaired_at=None, record_id__in=ids)
        known = {*opened.values_list("record_id", "field")}
        return [m for m in mismatches if (m.record_id, m.field) not in known]

    def store(self, mismatches: Sequence[Mismatch]) -> list[Mismatch]:
        """Store differences; return those that are too many to store."""
        left = max(0, MOST_STORED - self.counts["stored"])
        others = [mismatch for mismatch in mismatches if not mismatch.is_deletion]
        deletions = [mismatch for mismatch in mismatches if mismatch.is_deletion]
        now = database_clock.now()
        rows = [
            Difference(
                mirror=self.mirror,
                run=self.run,
                record_id=mismatch.record_id,
                field=mismatch.field,
                here=storable_json(mismatch.here),
                there=storable_json(mismatch.there),
                reason=mismatch.reason,
                found_at=now,
            )
            for mismatch in [*deletions, *others[:left]]
        ]
        self.counts["stored"] += len(others[:left])
        Difference.objects.bulk_create(rows, batch_size=500)
        return others[left:]

    def repair(self, checked: Checked, ids: Iterable[str]) -> list[str]:
        """Apply what was read of the records, and mark the differences that this repaired. Return
        the records that still differ.

        Rows that were written in the seconds before the read are read again: the read may lack
        what they have.
        """
        left = sorted(set(ids).intersection(checked.read.records))
        for attempt in range(READS):
            if attempt:
                self.keep()
                time.sleep(confirm.PAUSE)
                checked = self.comparison.check(left)
            records = [checked.read.records[one] for one in left if one in checked.read.records]
            self.comparison.writer.write_records(records, checked.read.read_at, is_confirmed=True)
            left = self.mark_equal(left, f"run {self.run.pk}")
            if not left:
                break
        return left

    def repair_records(self, ids: Sequence[str]) -> None:
        """Read records again, and apply those that still differ, unless changes are on their way.

        Records that are not in Salesforce are left to `deletions`.
        """
        checked = self.comparison.check(ids)
        pending = self.comparison.on_their_way(checked, checked.differing)
        self._wait_for([*pending])
        self.repair(checked, set(checked.differing) - pending)
        still = {*checked.differing}
        self.mark_equal([one for one in ids if one not in still], "a later change")

    def mark_equal(self, ids: Sequence[str], by: str) -> list[str]:
        """Mark the open differences of records that are equal now; return the other records."""
        if not ids:
            return []
        differing = self.comparison.check(ids).differing
        opened = self.mirror.differences.filter(repaired_at=None, record_id__in=ids)
        now = database_clock.now()
        count = opened.exclude(record_id__in=differing).update(repaired_at=now, repaired_by=by)
        self.counts["repaired"] += count
        return differing

    def refresh(self, checked: Checked, *, even_if_different: bool = False) -> None:
        """Update formula columns whose values are out of date: no difference, and not counted."""
        stale = checked.all_stale if even_if_different else checked.stale
        self.counts["formulas"] += self.comparison.here.update(stale, checked.read.read_at)
