"""Sweeps as runs of their own, after changes were lost or announced without their records."""

from __future__ import annotations

from datetime import datetime, timedelta

from listeners.clock import database_clock
from listeners.salesforce.errors import RestRefused
from mirror.load.sweep import Sweep
from mirror.load.work import Work
from mirror.models import Mirror, MirrorRun
from mirror.runs import Finished, Later, RunClaim
from mirror.sweeps import IDS, OVERLAP, SINCE, request_ids

Phase = Mirror.Phase


def run(claim: RunClaim) -> Finished | Later:
    """Sweep for a slice of time."""
    work = Work(claim)
    if "begun" not in work.cursor:
        work.use(work.describe())
        work.save(begun=database_clock.now().isoformat())
    sweep = Sweep(work, datetime.fromisoformat(claim.job.options[SINCE]) - OVERLAP)
    try:
        if (pause := sweep.run()) is not None:
            return pause
    except RestRefused as refusal:
        work.use_other_fields(refusal)
        return Later()
    _finish(work, sweep)
    report = {"rows": sweep.rows, "deleted": sweep.deleted, **work.cursor.get("counts", {})}
    return Finished(is_right=True, report=report)


def _finish(work: Work, sweep: Sweep) -> None:
    """Mark a mirror as in sync that waited for this sweep alone."""
    mirror, now = work.mirror, database_clock.now()
    loads = mirror.runs.filter(kind=MirrorRun.Kind.LOAD, state__in=MirrorRun.UNENDED)
    # Not one whose first load ended before it was complete: a sweep does not make up for that.
    loaded = Mirror.objects.filter(pk=mirror.pk, in_sync_since__isnull=False)
    waiting = loaded.filter(phase=Phase.CATCHING_UP)
    with work.claim.step():
        work.claim.extend(done=sweep.rows)
        if not loads.exists() and sweep.covered_until is not None:
            waiting.update(phase=Phase.IN_SYNC, in_sync_since=sweep.covered_until)
        options = work.claim.job.options
        if sweep.needs_ids or options.get(IDS):
            since = datetime.fromisoformat(options[SINCE])
            request_ids(mirror, now, since, after=timedelta(seconds=5))
