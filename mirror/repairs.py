"""Writes to the incidents of lost time what a mirror repaired: when the records that changed were
read again, and then all ids were compared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from audit.models import Incident
from mirror.models import Mirror, MirrorRun
from mirror.sweeps import LOSSES, SINCE

#: The key of a sweep's report that says that its incidents have the note.
_IS_NOTED = "noted"


def note(mirror: Mirror, verification: MirrorRun, counts: Mapping[str, int]) -> None:
    """Add a note to the incidents whose lost time was swept before the verification, which has
    compared all ids. `counts` is its report. Inside the caller's transaction."""
    sweeps = mirror.runs.filter(kind=MirrorRun.Kind.SWEEP, state=MirrorRun.State.DONE)
    for sweep in sweeps.filter(finished_at__lte=verification.started_at):
        incidents = [key.split()[0] for key in sweep.options.get(LOSSES, [])]
        found = Incident.objects.filter(pk__in=[int(pk) for pk in incidents if pk.isdigit()])
        if sweep.report.get(_IS_NOTED) or not found.exists():
            continue
        found.add_note(repaired(sweep, counts))
        mirror.runs.filter(pk=sweep.pk).update(report=sweep.report | {_IS_NOTED: True})


def repaired(sweep: MirrorRun, counts: Mapping[str, int]) -> str:
    """Return what a sweep and the comparison of ids after it repaired."""
    report: dict[str, Any] = sweep.report
    written, gone, left = (
        report.get("applied", 0),
        counts.get("reason_hard_deleted", 0),
        counts.get("open", 0),
    )
    since = datetime.fromisoformat(sweep.options[SINCE]).astimezone(UTC)
    were, rows = ("was", "its row is") if gone == 1 else ("were", "their rows are")
    deletions = (
        f"{gone:,} {were} permanently deleted, and {rows} marked as deleted"
        if gone
        else "no record was permanently deleted"
    )
    return (
        f"Mirror {sweep.mirror.model}: {_count(report.get('rows', 0), 'record')} that changed in "
        f"Salesforce since {since:%Y-%m-%d %H:%M} UTC, or shortly before, were read again; "
        f"{report.get('deleted', 0):,} of them are deleted, and {_count(written, 'row')} "
        f"{'was' if written == 1 else 'were'} written. Then the ids of all "
        f"{_count(counts.get('compared', 0), 'record')} in Salesforce were compared: {deletions}; "
        f"{_count(counts.get('differences', 0) - gone, 'other difference')} found; "
        f"{_count(left, 'difference') if left else 'no difference'} left."
    )


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
