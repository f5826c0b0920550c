"""Runs of a verification and of a repair: the bodies that `mirror.kinds` calls.

A verification goes as deep as its option `depth` says, cheapest step first:

    counts   counts and newest modification by bucket, and changed ids against the audit log
    ids      also all ids
    sample   also every field of some records
    full     counts, and every field of every record

Then it applies deletions, checks records whose changes were on their way again, and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from listeners.clock import database_clock
from listeners.salesforce.rest.client import MAX_IDS
from mirror.models import Mirror, MirrorRun
from mirror.runs import Finished, Later, RunClaim, RunFailed
from mirror.schema_changes import check_schema
from mirror.verify import deletions, report, steps
from mirror.verify.session import Session

Kind = MirrorRun.Kind
Step = Callable[[Session], Later | None]
COUNTS, IDS, SAMPLE, FULL = "counts", "ids", "sample", "full"
#: The steps of each depth, by name.
STEPS: Mapping[str, Sequence[str]] = {
    COUNTS: ("count", "updated"),
    IDS: ("count", "updated", "ids"),
    SAMPLE: ("count", "updated", "ids", "sample"),
    FULL: ("count", "full"),
}
_BODIES: Mapping[str, Step] = {
    "count": steps.count,
    "updated": steps.updated,
    "ids": steps.ids,
    "sample": steps.sample,
    "full": steps.full,
    "fields": steps.fields,
}
#: Seconds until records whose changes are on their way are checked again, and how often.
PENDING_SECONDS, PENDING_CHECKS = 5.0, 24


def verify(claim: RunClaim) -> Finished | Later:
    """Compare the mirror with Salesforce for a slice of time."""
    if later := _wait_for_load(claim):
        return later
    session = Session(claim)
    check_schema(session.mirror, session.comparison.described, database_clock.now())
    if later := _steps(session):
        return later
    if later := _end(session):
        return later
    return report.verified(session)


def repair(claim: RunClaim) -> Finished | Later:
    """Read the records of all open differences again, and apply them."""
    session = Session(claim)
    opened = session.mirror.differences.filter(repaired_at=None)
    while True:
        after = session.cursor.get("repaired_after", "")
        rows = opened.filter(record_id__gt=after).order_by("record_id")
        ids = list(rows.values_list("record_id", flat=True).distinct()[:MAX_IDS])
        if not ids:
            break
        session.repair_records(ids)
        session.cursor["repaired_after"] = ids[-1]
        session.keep(done=session.run.done + len(ids))
        if claim.is_slice_over:
            return Later()
    if later := _end(session):
        return later
    return report.repaired(session)


def _wait_for_load(claim: RunClaim) -> Later | None:
    """Return how long to wait while the mirror is not complete. Raises RunFailed."""
    mirror = claim.job.mirror
    if mirror.phase == Mirror.Phase.IN_SYNC:
        return None
    completing = mirror.runs.filter(kind__in=[Kind.LOAD, Kind.SWEEP], state__in=MirrorRun.UNENDED)
    if not completing.exists():
        raise RunFailed(
            f"{mirror} is not loaded, so there is nothing to compare yet: "
            f"manage.py mirror load {mirror} --wait"
        )
    return Later(PENDING_SECONDS, "the mirror's load")


def _names(session: Session) -> list[str]:
    """Return the steps of the run's depth; ids too, if buckets could not narrow a difference."""
    options = session.options
    if options.get("fields"):
        return ["fields"]
    names = list(STEPS[options.get("depth") or FULL])
    if session.cursor.get("by_ids") and not {"ids", "full"} & {*names}:
        names.append("ids")
    return names


def _steps(session: Session) -> Later | None:
    done: list[str] = session.cursor.setdefault("steps", [])
    while left := [name for name in _names(session) if name not in done]:
        if later := _BODIES[left[0]](session):
            return later
        done.append(left[0])
        session.cursor.pop("after", None)
        session.keep()
        if session.claim.is_slice_over:
            return Later()
    return None


def _end(session: Session) -> Later | None:
    """Apply deletions, and check again the records whose changes are on their way."""
    deletions.apply(session)
    pending = session.pending
    checks = session.cursor.get("pending_checks", 0)
    if not pending:
        return None
    session.cursor["pending"] = []
    session.settle(pending)
    if not session.pending or checks >= PENDING_CHECKS:
        deletions.apply(session)
        return None
    session.cursor["pending_checks"] = checks + 1
    session.keep()
    return Later(PENDING_SECONDS, "changes that are on their way")
