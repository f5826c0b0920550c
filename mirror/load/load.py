"""The load of a mirror, beside the stream:

    wait for the stream → describe → Bulk API, or REST → describe again → sweep → in sync

Each step is stored in the run's cursor. A load may run again at any time: the version guard lets it
change only rows that are older than what it read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Coalesce

from listeners import crash_points
from listeners.clock import database_clock
from listeners.salesforce.bulk.errors import BulkLimit, BulkUnsupported
from listeners.salesforce.errors import RestRefused
from mirror import budget
from mirror.apply import release
from mirror.apply.guard import EPOCH, read_time
from mirror.load.bulk import BulkLoad
from mirror.load.hand_over import waiting_for
from mirror.load.sweep import Sweep
from mirror.load.work import Work
from mirror.models import Mirror, MirrorRun
from mirror.runs import Finished, Later, RunClaim, RunFailed
from mirror.schema_changes import mark_loaded
from mirror.sweeps import IDS, OVERLAP, SINCE, made_up_for, request_ids

Phase = Mirror.Phase
#: Seconds between two looks at a stream that is not live yet.
LOOK = 2.0
#: The time between a read and a later one that the version guard can tell apart: its MARGIN, and
#: the whole seconds of both times.
SETTLED = timedelta(seconds=4.5)
#: Loads of an object whose fields keep changing, until one run gives up.
ROUNDS = 3


def run(claim: RunClaim) -> Finished | Later:
    """Load for a slice of time."""
    work = Work(claim)
    if "begun" not in work.cursor:
        if reason := waiting_for(work.mirror.listener):
            return Later(LOOK, reason)
        _begin(work)
    return _continue(work)


def _begin(work: Work) -> None:
    now = database_clock.now()
    _set_phase(work.mirror, {Phase.NEW: Phase.LOADING})
    mine = Mirror.objects.filter(pk=work.mirror.pk)
    mine.update(load_started_at=Coalesce("load_started_at", now))
    work.use(work.describe())
    if work.mirror.in_sync_since is None:
        work.check_model()
    has_old_rows = _follows_another(work) or work.writer.has_rows_before(work.mirror.created_at)
    mine.filter(described={}).update(described=dict(work.fields.types))
    work.save(begun=now.isoformat(), round=1, has_old_rows=has_old_rows)


def _follows_another(work: Work) -> bool:
    """Return whether another load of the mirror began, which may have failed and left rows."""
    loads = work.mirror.runs.filter(kind=MirrorRun.Kind.LOAD, started_at__isnull=False)
    return bool(loads.exclude(pk=work.claim.job.pk).exists())


def _continue(work: Work) -> Finished | Later:
    """Continue with the first step that is not done."""
    while not work.cursor.get("is_loaded"):
        try:
            pause = _load(work)
        except RestRefused as refusal:
            work.use_other_fields(refusal)
            _load_again(work, work.fields)
            continue
        if pause is not None:
            return pause
        fields = work.describe()
        if fields.fingerprint == work.fields.fingerprint:
            work.save(is_loaded=True, loaded_at=database_clock.now().isoformat())
            break
        _load_again(work, fields)
    crash_points.reach("loaded")
    if (pause := _settle(work)) is not None:
        return pause
    _set_phase(work.mirror, {Phase.LOADING: Phase.CATCHING_UP})
    sweep = Sweep(work, read_time(work.cursor["start"]) - OVERLAP)
    try:
        if (pause := sweep.run()) is not None:
            return pause
    except RestRefused as refusal:
        work.use_other_fields(refusal)
        return Later()
    _finish(work, sweep)
    release.release_after_load()
    return Finished(is_right=True, report=_report(work, sweep))


def _settle(work: Work) -> Later | None:
    """Wait until a read of a record that was just loaded certainly is the later one: the version
    guard cannot tell reads within a few seconds apart."""
    cursor = work.cursor
    since = datetime.fromisoformat(cursor["loaded_at"])
    if "rest" not in cursor:  # the rows count as read when the job was created
        since = min(since, datetime.fromisoformat(cursor["created"]))
    left = SETTLED - (database_clock.now() - since)
    if left <= timedelta(0):
        return None
    return Later(left.total_seconds(), "the last reads to settle")


def _load(work: Work) -> Later | None:
    """Read every record by Bulk API, or by REST if Bulk API refuses."""
    if "rest" not in work.cursor:
        try:
            return BulkLoad(work).run()
        except (BulkUnsupported, BulkLimit) as refusal:
            work.cursor.pop("is_read", None)  # of the job
            work.save(rest=str(refusal), after="", rows=0, done=0)
    return _load_by_rest(work)


def _load_by_rest(work: Work) -> Later | None:
    """Read every record by REST, in the order of the ids. Raises RunFailed for a partial load."""
    cursor = work.cursor
    if "counted" not in cursor:
        work.save(counted=work.reader.count(), total=None)
        work.claim.extend(total=cursor["counted"])
    while not cursor.get("is_read"):
        where = f"Id > '{cursor['after']}'" if cursor["after"] else ""
        chunks, last = work.reader.page(where, "Id")
        for chunk in chunks:
            work.writer.write_records(chunk.records, chunk.read_at)
        rows = cursor["rows"] + sum(chunk.keys for chunk in chunks)
        start = min([chunk.read_at for chunk in chunks] or [_now_ms()])
        work.save(
            rows=rows,
            done=rows,
            start=min(start, cursor.get("start", start)),
            is_read=last is None,
            after=str(last["Id"]) if last else "",
        )
        crash_points.reach("page_read")
        if not cursor["is_read"]:
            if (pause := budget.pause(work.rest)) is not None:
                return pause
            if work.claim.is_slice_over:
                return Later()
    _check(work)
    return None


def _check(work: Work) -> None:
    """Compare the rows read with the counts before and after. Records that were purged in between
    are in neither."""
    before, read = work.cursor["counted"], work.cursor["rows"]
    after = work.reader.count()
    if before is None or after is None or read >= min(before, after):
        return
    raise RunFailed(
        f"The load of {work.mirror.salesforce_object} is not complete: {read:,} records were read, "
        f"and Salesforce counts {after:,}. Load again: manage.py mirror load {work.mirror.model}"
    )


def _load_again(work: Work, fields: Any) -> None:
    """Start over with fields that changed during the load. Raises RunFailed if they keep
    changing."""
    if work.cursor["round"] >= ROUNDS:
        raise RunFailed(
            f"The fields of {work.mirror.salesforce_object} changed during each of {ROUNDS} loads. "
            f"Load again when they no longer change: manage.py mirror load {work.mirror.model}"
        )
    for name in ("job", "is_read", "is_checked", "locator", "counted", "after", "jobs"):
        work.cursor.pop(name, None)
    if "rest" in work.cursor:
        work.cursor["after"] = ""
    work.use(fields)
    # After the first load, `schema_changes` follows changes up.
    first = Mirror.objects.filter(pk=work.mirror.pk, in_sync_since=None)
    first.update(described=dict(fields.types))
    work.save(round=work.cursor["round"] + 1, rows=0, done=0)


def _finish(work: Work, sweep: Sweep) -> None:
    """Mark the mirror as in sync, and look for rows whose records no longer exist."""
    mirror, now, run = work.mirror, database_clock.now(), work.claim.job
    until = sweep.covered_until or read_time(work.cursor["start"])
    counted = work.reader.count(deleted=False)
    with work.claim.step():
        Mirror.objects.filter(pk=mirror.pk).update(
            phase=Phase.IN_SYNC,
            in_sync_since=until,
            problem="",
            rows_in_salesforce=counted,
            counted_at=now,
        )
        mark_loaded(mirror, run.started_at)
        swept = made_up_for(mirror, run)
        work.claim.extend(options=run.options | swept)
        is_first = mirror.in_sync_since is None
        lost = datetime.fromisoformat(swept[SINCE]) if swept.get(IDS) else None
        if sweep.needs_ids or not is_first or lost or work.cursor.get("has_old_rows"):
            since = min(filter(None, (_ghosts_since(work), lost)), default=None)
            request_ids(mirror, now, since, after=timedelta(seconds=5))


def _ghosts_since(work: Work) -> datetime | None:
    """Return since when rows may be of records that were permanently deleted: after a first load,
    those that the table had before. None: the load leaves nothing more in doubt than before it."""
    if work.mirror.in_sync_since is not None:
        return None
    return EPOCH if work.cursor.get("has_old_rows") else read_time(work.cursor["start"])


def _report(work: Work, sweep: Sweep) -> dict[str, Any]:
    cursor = work.cursor
    began = datetime.fromisoformat(cursor["begun"])
    report = {
        "rows": cursor["rows"],
        "swept": sweep.rows,
        "read_by": "REST" if "rest" in cursor else "Bulk API",
        "seconds": round((database_clock.now() - began).total_seconds(), 1),
        **cursor.get("counts", {}),
    }
    return report | ({"rest_because": cursor["rest"]} if "rest" in cursor else {})


def _set_phase(mirror: Mirror, steps: dict[str, str]) -> None:
    """Move the mirror from one phase to the next, if it is in the first."""
    for before, after in steps.items():
        if Mirror.objects.filter(pk=mirror.pk, phase=before).update(phase=after):
            mirror.phase = after


def _now_ms() -> int:
    return round(database_clock.now().timestamp() * 1000)
