"""The status of mirrors: state, rows here and there, and the time up to which a mirror is proven
equal to Salesforce. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.cache import cache
from django.db import DatabaseError
from django.db.models import Count

from audit.jobs.eta import Pace
from listeners.listener_state import Standing, standing
from listeners.models import Position
from mirror.models import Mirror, MirrorRun
from mirror.problems import problem_of, receives_changes
from mirror.proof import in_sync_as_of, is_repairing
from mirror.schema.columns import NotMirrorable, model_named
from mirror.words import pace_of, progress_of

#: The state of a mirror that needs an operator. The others are the mirror's phases.
ATTENTION = "attention"
STATES = [*Mirror.Phase.values, ATTENTION]
#: Tables with more rows than this are counted once in COUNTED_FOR seconds, others each time.
SMALL, COUNTED_FOR = 20_000, 60
#: Differences that say nothing about the stream: no event announces them.
_EXPECTED = ("formula", "converted", "new_field")


@dataclass(frozen=True)
class Progress:
    """An unended run of a mirror."""

    run: MirrorRun
    pace: Pace
    #: Such as "43 %, 1,204 rows/s, 2 min left".
    words: str

    @property
    def kind(self) -> str:
        return str(self.run.kind)

    def to_dict(self) -> dict[str, Any]:
        left, rate = self.pace.seconds_left, self.pace.rate
        return {
            "run": self.run.pk,
            "kind": self.run.kind,
            "state": self.run.state,
            "done": self.run.done,
            "total": self.run.total,
            "percent": self.pace.percent,
            "rows_per_second": None if rate is None else round(rate, 1),
            "seconds_left": None if left is None else round(left),
            "waits_for": self.run.waits_for,
        }


@dataclass(frozen=True)
class MirrorStatus:
    """The status of one mirror; times are UTC."""

    mirror: Mirror
    state: str
    #: Why the state is `attention`; otherwise a remark, or empty.
    reason: str
    rows: int | None
    rows_in_salesforce: int | None
    #: Every change that was committed until then is in the rows. None: not proven for any time.
    in_sync_as_of: datetime | None
    last_verified_at: datetime | None
    #: Differences that are not repaired.
    differences: int
    #: The run in progress; the load before others.
    progress: Progress | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.mirror.model,
            "object": self.mirror.salesforce_object,
            "state": self.state,
            "rows": self.rows,
            "rows_in_salesforce": self.rows_in_salesforce,
            "in_sync_as_of": self.in_sync_as_of,
            "last_verified_at": self.last_verified_at,
            "differences": self.differences,
            "progress": self.progress.to_dict() if self.progress else None,
        }

    @property
    def words(self) -> str:
        """Such as "loading 43 %, 1,204 rows/s, 2 min left" or "in sync as of 12:04:31"."""
        running = f"{self.progress.kind}: {self.progress.words}" if self.progress else ""
        if self.state == Mirror.Phase.LOADING:
            return f"loading {self.progress.words}" if self.progress else "loading"
        if self.state == ATTENTION:
            text = f"needs attention: {self.reason}"
        elif self.state == Mirror.Phase.CATCHING_UP and self.in_sync_as_of is not None:
            text = f"catching up; in sync as of {clock(self.in_sync_as_of)}"
        elif self.in_sync_as_of is not None:
            text = f"in sync as of {clock(self.in_sync_as_of)}"
        else:
            text = str(Mirror.Phase(self.state).label).lower()
        return "; ".join(part for part in (text, running) if part)


def clock(moment: datetime) -> str:
    """Return the time in UTC, with the date unless it is today's."""
    today = datetime.now(UTC).date()
    form = "%H:%M:%S" if moment.astimezone(UTC).date() == today else "%Y-%m-%d %H:%M:%S"
    return f"{moment.astimezone(UTC):{form}}"


def statuses(now: datetime, mirrors: Iterable[Mirror] | None = None) -> list[MirrorStatus]:
    """Return the status of each mirror; a few queries for each, besides the count of its rows."""
    rows = Mirror.objects.select_related("listener") if mirrors is None else mirrors
    return [status_of(mirror, now) for mirror in rows]


def status_of(mirror: Mirror, now: datetime) -> MirrorStatus:
    position = Position.objects.with_life().filter(pk=mirror.listener_id).first()
    stands = _standing(mirror, position, now)
    differences = _counted(mirror)
    problem = problem_of(mirror, differences)
    is_in_sync = mirror.phase == Mirror.Phase.IN_SYNC and not differences.keys() - {*_EXPECTED}
    as_of = in_sync_as_of(mirror, position) if is_in_sync and receives_changes(mirror) else None
    is_unproven = mirror.phase == Mirror.Phase.IN_SYNC and (as_of is None or is_repairing(mirror))
    phase = Mirror.Phase.CATCHING_UP.value if is_unproven else mirror.phase
    return MirrorStatus(
        mirror=mirror,
        state=ATTENTION if problem else phase,
        reason=problem or _remark(mirror, stands),
        rows=count_rows(mirror),
        rows_in_salesforce=mirror.rows_in_salesforce,
        in_sync_as_of=as_of,
        last_verified_at=mirror.last_verified_at,
        differences=sum(differences.values()),
        progress=running(mirror, now),
    )


def in_attention() -> list[tuple[Mirror, str]]:
    """Return the mirrors that need an operator, with the reason. A few queries for each mirror."""
    mirrors = Mirror.objects.select_related("listener")
    found = ((mirror, problem_of(mirror, _counted(mirror))) for mirror in mirrors)
    return [(mirror, problem) for mirror, problem in found if problem]


def _counted(mirror: Mirror) -> dict[str, int]:
    """Return the numbers of open differences by reason."""
    counts = open_differences(mirror).order_by().values_list("reason").annotate(Count("id"))
    return dict(counts.values_list("reason", "id__count"))


def open_differences(mirror: Mirror) -> Any:
    return mirror.differences.filter(repaired_at=None)


def running(mirror: Mirror, now: datetime) -> Progress | None:
    """Return the running run, or else the one that waits longest."""
    unended = mirror.runs.filter(state__in=MirrorRun.UNENDED).order_by("id")
    found = sorted(unended, key=lambda run: run.state != MirrorRun.State.RUNNING)
    if not found:
        return None
    return Progress(found[0], pace_of(found[0], now), progress_of(found[0], now))


def count_rows(mirror: Mirror) -> int | None:
    """Return the number of rows that are not deleted; up to a minute old for a large table, and
    None if the table cannot be read."""
    try:
        every = model_named(mirror.model)._base_manager.using(mirror.database)
        rows = every.filter(is_deleted=False).order_by()
        few = rows[: SMALL + 1].count()
        if few <= SMALL:
            return int(few)
        key = f"mirror-rows-{mirror.pk}"
        return int(cache.get_or_set(key, rows.count, COUNTED_FOR) or 0)
    except (NotMirrorable, DatabaseError):
        return None


def _standing(mirror: Mirror, position: Any, now: datetime) -> Standing:
    if position is None:
        return Standing(Position.State.STOPPED.value)
    is_live = bool(getattr(position, "is_held", False))
    return standing(mirror.listener, position, now, is_live=is_live)


def _remark(mirror: Mirror, stands: Standing) -> str:
    if not mirror.listener.enabled:
        return f"Listener {mirror.listener} is disabled: no changes arrive"
    if stands.state != Position.State.RECEIVING:
        why = f": {stands.reason}" if stands.reason else ""
        return f"Listener {mirror.listener} is {stands.state}{why}"
    return ""
