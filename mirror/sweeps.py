"""Requests sweeps: reads of the records that were modified since a time, after lost changes.

A sweep that has not ended is widened, and reads again what it may have read too early. One that
failed or was cancelled is part of the next, so that no request is lost. Until a sweep is done, its
window is uncovered.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from mirror import runs
from mirror.models import Mirror, MirrorRun
from mirror.query_jobs import abort_later

Kind, State = MirrorRun.Kind, MirrorRun.State

#: Keys of `MirrorRun.options`: the beginning of the window, the reasons, the losses of changes, and
#: whether records that were permanently deleted are looked for after the sweep.
SINCE, REASONS, LOSSES, IDS = "since", "reasons", "losses", "ids"
#: Sweeps begin earlier: records become visible up to minutes after the time of their modification.
OVERLAP = timedelta(minutes=15)
#: Counts of a verification that begin again when it starts over; the others are of differences.
_OF_ROUND = frozenset({"compared", "updated"})
#: Verifications that compare all ids.
COMPARES_IDS = Q(
    kind=Kind.VERIFY, options__depth__in=("ids", "sample", "full"), options__fields__isnull=True
)
#: Runs that cover a window which a run of the kind left uncovered, when they are done.
_COVERING = {
    Kind.SWEEP: Q(kind__in=(Kind.SWEEP, Kind.LOAD)),
    Kind.VERIFY: COMPARES_IDS,
}


def request_sweep(
    mirror: Mirror,
    since: datetime,
    now: datetime,
    reason: str,
    *,
    loss: str | None = None,
    with_ids: bool = False,
) -> MirrorRun:
    """Request a sweep of the records that were modified at `since` or later.

    `with_ids`: look for permanently deleted records afterwards. Inside any transaction: the task
    message is sent after its commit.
    """
    with transaction.atomic():
        Mirror.objects.select_for_update().get(pk=mirror.pk)
        unended = mirror.runs.filter(kind=Kind.SWEEP, state__in=MirrorRun.UNENDED)
        run = unended.select_for_update().first()
        options = _request(since, reason, loss, with_ids)
        for known in _uncovered(mirror, Kind.SWEEP).order_by("-pk"):
            options = _widened(known.options, options)
        if run is None:
            run, _ = runs.request(mirror, Kind.SWEEP, now, options=options)
        else:
            is_longer = options[SINCE] != run.options[SINCE]
            cursor = {} if is_longer else _back_to(since - OVERLAP, run.cursor)
            unended.update(
                state=State.WAITING, claimed_until=None, due_at=now, options=options,
                cursor=cursor, done=0, total=None, tries=0, error="", waits_for="",
            )  # fmt: skip
        transaction.on_commit(partial(runs.send, run.pk))
    return run


def _back_to(moment: datetime, cursor: dict[str, Any]) -> dict[str, Any]:
    """Return the cursor of a sweep that reads all records again that were modified at `moment` or
    later, and otherwise continues."""
    progress = cursor.get("sweep", {})
    if "at" not in progress:
        return {}
    kept = {name: progress[name] for name in ("rows", "deleted", "needs_ids") if name in progress}
    if datetime.fromisoformat(progress["at"]) <= moment:
        position = {name: progress[name] for name in ("at", "id") if name in progress}
    else:
        position = {"at": soql_time(moment)}
    return cursor | {"sweep": kept | position}


def soql_time(moment: datetime) -> str:
    """Return a time as SOQL writes it."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"


def request_ids(
    mirror: Mirror, now: datetime, since: datetime | None, *, after: timedelta
) -> MirrorRun:
    """Request a comparison of all ids, since records may have been permanently deleted since then;
    None: at any time. A verification that has begun starts over, also one that a worker has claimed
    and not extended: it compared ids before. Inside the caller's transaction."""
    options = {"depth": "ids"} | ({} if since is None else {SINCE: since.isoformat()})
    run, is_new = runs.request(mirror, Kind.VERIFY, now, options=options, after=after)
    if is_new or run.started_at is None:
        return run
    abort_later(run)
    found = {name: count for name, count in run.report.items() if name not in _OF_ROUND}
    mirror.runs.filter(pk=run.pk, state__in=MirrorRun.UNENDED).update(
        state=State.WAITING, claimed_until=None, started_at=None, due_at=now + after,
        cursor={}, done=0, report=found,
    )  # fmt: skip
    return run


def made_up_for(mirror: Mirror, load: MirrorRun) -> dict[str, Any]:
    """Return the options of the sweeps without success that had ended when a load began, which
    makes up for them; empty if there are none."""
    options: dict[str, Any] = {}
    without = _uncovered(mirror, Kind.SWEEP).exclude(state__in=MirrorRun.UNENDED)
    for sweep in without.filter(finished_at__lte=load.started_at):
        options = _widened(options, sweep.options)
    return options


def uncovered(mirror: Mirror) -> Iterator[datetime]:
    """Yield the beginnings of the windows in which the rows may lack changes or deletions."""
    for kind in _COVERING:
        yield from _beginnings(_uncovered(mirror, kind))


def unended(mirror: Mirror) -> Iterator[datetime]:
    """Yield the beginnings of the windows of sweeps that have not ended."""
    sweeps = mirror.runs.filter(kind=Kind.SWEEP, state__in=MirrorRun.UNENDED)
    yield from _beginnings(sweeps)


def _beginnings(runs_with_windows: QuerySet[MirrorRun]) -> Iterator[datetime]:
    for since in runs_with_windows.values_list(f"options__{SINCE}", flat=True):
        if since:
            yield datetime.fromisoformat(since)


def unsuccessful(mirror: Mirror) -> MirrorRun | None:
    """Return a sweep or comparison of ids that failed or was cancelled, if its window is
    uncovered."""
    for kind in _COVERING:
        runs_of_kind = _uncovered(mirror, kind).exclude(state__in=MirrorRun.UNENDED)
        for run in runs_of_kind.order_by("pk"):
            if run.options.get(SINCE):
                return run
    return None


def _uncovered(mirror: Mirror, kind: str) -> QuerySet[MirrorRun]:
    """Return the runs that have not ended, and those without success that no run made up for which
    began after their end."""
    # Not by the ids: a run may be widened after a later one has begun, or even ended.
    done = mirror.runs.filter(_COVERING[Kind(kind)], state=State.DONE)
    begun_at = done.aggregate(last=Max("started_at"))["last"]
    found: QuerySet[MirrorRun] = mirror.runs.filter(kind=kind).exclude(state=State.DONE)
    if begun_at is None:
        return found
    return found.filter(Q(state__in=MirrorRun.UNENDED) | Q(finished_at__gt=begun_at))


def _request(since: datetime, reason: str, loss: str | None, with_ids: bool) -> dict[str, Any]:
    losses = [] if loss is None else [loss]
    return {SINCE: since.isoformat(), REASONS: [reason], LOSSES: losses, IDS: with_ids}


def _widened(known: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a sweep that does what both say."""
    both = (known, wanted)
    begins = [datetime.fromisoformat(one[SINCE]) for one in both if one.get(SINCE)]
    joined = {
        name: list(dict.fromkeys([*known.get(name, []), *wanted.get(name, [])]))
        for name in (REASONS, LOSSES)
    }
    is_with_ids = any(one.get(IDS, False) for one in both)
    return {SINCE: min(begins).isoformat(), **joined, IDS: is_with_ids}
