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
    """Add a note to the incidents whose lost time was swept, or made up for by a load, before the
    verification, which has compared all ids. `counts` is its report. Inside the caller's
    transaction."""
    kinds = (MirrorRun.Kind.SWEEP, MirrorRun.Kind.LOAD)
    done = mirror.runs.filter(kind__in=kinds, state=MirrorRun.State.DONE)
    for run in done.filter(finished_at__lte=verification.started_at):
        incidents = [key.split()[0] for key in run.options.get(LOSSES, [])]
        found = Incident.objects.filter(pk__in=[int(pk) for pk in incidents if pk.isdigit()])
        if run.report.get(_IS_NOTED) or not found.exists():
            continue
        found.add_note(repaired(run, counts))
        mirror.runs.filter(pk=run.pk).update(report=run.report | {_IS_NOTED: True})


def repaired(run: MirrorRun, counts: Mapping[str, int]) -> str:
    """Return what a sweep or a load, and the comparison of ids after it, repaired."""
    gone, left = counts.get("reason_hard_deleted", 0), counts.get("open", 0)
    were, rows = ("was", "its row is") if gone == 1 else ("were", "their rows are")
    deletions = (
        f"{gone:,} {were} permanently deleted, and {rows} marked as deleted"
        if gone
        else "no record was permanently deleted"
    )
    return (
        f"Mirror {run.mirror.model}: {_read(run)}. Then the ids of all "
        f"{_count(counts.get('compared', 0), 'record')} in Salesforce were compared: {deletions}; "
        f"{_count(counts.get('differences', 0) - gone, 'other difference')} found; "
        f"{_count(left, 'difference') if left else 'no difference'} left."
    )


def _read(run: MirrorRun) -> str:
    """Return what the run read and wrote."""
    report: dict[str, Any] = run.report
    rows, applied = _count(report.get("rows", 0), "record"), report.get("applied", 0)
    written = f"{_count(applied, 'row')} {'was' if applied == 1 else 'were'} written"
    if run.kind == MirrorRun.Kind.LOAD:
        return f"all {rows} in Salesforce were read again, and {written}"
    since = datetime.fromisoformat(run.options[SINCE]).astimezone(UTC)
    return (
        f"{rows} that changed in Salesforce since {since:%Y-%m-%d %H:%M} UTC, or shortly before, "
        f"were read again; {report.get('deleted', 0):,} of them are deleted, and {written}"
    )


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
