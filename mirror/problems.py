"""The problem that keeps a mirror from being right until an operator acts, as a sentence. Reads
only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, When

from handlers.models import Delivery, HandlerMapping
from mirror.mappings import deliveries_of, managed_mappings
from mirror.models import Mirror, MirrorRun
from mirror.requirements import Refused, check_channel
from mirror.sweeps import unsuccessful

Kind, State = MirrorRun.Kind, MirrorRun.State
#: The kinds of runs that, by their later success, do what a failed run was to do.
_MENDED_BY = {
    Kind.LOAD: [Kind.LOAD],
    Kind.SWEEP: [Kind.SWEEP, Kind.LOAD],
    Kind.VERIFY: [Kind.VERIFY, Kind.LOAD],
    Kind.REPAIR: [Kind.REPAIR, Kind.VERIFY, Kind.LOAD],
    Kind.FORMULAS: [Kind.FORMULAS, Kind.LOAD],
}
#: The key of the report of a verification or repair that did not apply the deletions it found.
REFUSED = "refused_deletions"
#: The key of the report of a refresh of formulas that saw whether the channel carries all changes
#: of the object: what to do, empty if it carries them.
NOT_CARRIED = "not_carried"
#: Failed reads of a record after which an operator should know.
_READS = 3


def problem_of(mirror: Mirror, differences: Mapping[str, int]) -> str:
    """Return why the mirror needs an operator; empty if it does not. `differences` has the number
    of open ones by reason."""
    return next(filter(None, _problems(mirror, differences)), "")


def receives_changes(mirror: Mirror) -> bool:
    """Return whether the object's changes come to the mirror, as far as its settings and the last
    look at the org's channels say."""
    return not (_channel(mirror) or _mappings(mirror) or _not_carried(mirror))


def _problems(mirror: Mirror, differences: Mapping[str, int]) -> Iterator[str]:
    yield str(mirror.problem)
    yield _channel(mirror)
    yield _mappings(mirror)
    yield _not_carried(mirror)
    if (failed := _failures(mirror).order_by("rank", "-id").first()) is not None:
        yield f"{failed.title} failed: {failed.error}"
    yield _cancelled(mirror)
    yield _incomplete(mirror)
    yield _deletions(mirror)
    if count := differences.get("unexplained", 0):
        noun = "difference" if count == 1 else "differences"
        yield f"{count:,} unexplained {noun} from Salesforce"
    yield from _changes(mirror)


def _channel(mirror: Mirror) -> str:
    try:
        check_channel(mirror.listener, mirror.salesforce_object, mirror.model)
    except Refused as refused:
        return str(refused)
    return ""


def _mappings(mirror: Mirror) -> str:
    present = managed_mappings(mirror).filter(paused_at=None).count()
    if present == len(HandlerMapping.On.values):
        return ""
    return (
        "Handler mappings of the mirror were deleted or paused, so changes do not arrive. Remove "
        f"the mirror and add it again: manage.py mirror remove {mirror.model}"
    )


def _not_carried(mirror: Mirror) -> str:
    last = _looks(mirror).first()
    text = last.report[NOT_CARRIED] if last else ""
    return f"{text} The mirror looks again within an hour." if text else ""


def not_carried_since(mirror: Mirror) -> datetime | None:
    """Return since when the channel may not carry all changes of the object; None if it carried
    them at the last look."""
    if not _not_carried(mirror):
        return None
    before = _looks(mirror).filter(**{f"report__{NOT_CARRIED}": ""}).first()
    found: datetime | None = before.started_at if before else mirror.load_started_at
    return found


def _looks(mirror: Mirror) -> Any:
    """Return the refreshes of formulas that saw which changes the channel carries, the last one
    first; also one that has not ended."""
    return mirror.runs.filter(kind=Kind.FORMULAS, report__has_key=NOT_CARRIED).order_by("-id")


def _failures(mirror: Mirror) -> Any:
    """Return the failed runs whose work no later run did, with a `rank`: loads come first."""
    done = MirrorRun.objects.filter(
        mirror=mirror, state=State.DONE, finished_at__gte=OuterRef("finished_at")
    )
    is_left = Q()
    for kind, others in _MENDED_BY.items():
        is_left |= Q(~Exists(done.filter(kind__in=others)), kind=kind)
    rank = Case(*(When(kind=kind, then=index) for index, kind in enumerate(_MENDED_BY)))
    return mirror.runs.filter(is_left, state=State.FAILED).annotate(rank=rank)


def _cancelled(mirror: Mirror) -> str:
    run = unsuccessful(mirror)
    if run is None or run.state == State.FAILED:
        return ""
    return (
        f"{run.title} was cancelled, so rows may lack changes. Load again: "
        f"manage.py mirror load {mirror.model}"
    )


def _incomplete(mirror: Mirror) -> str:
    """Return what to do about rows that are not complete and that no run completes."""
    kinds = (Kind.LOAD, Kind.SWEEP)
    completing = mirror.runs.filter(kind__in=kinds, state__in=MirrorRun.UNENDED)
    if mirror.phase == Mirror.Phase.IN_SYNC or completing.exists():
        return ""
    return f"Its load has ended before it was complete: manage.py mirror load {mirror.model}"


def refused_deletions(mirror: Mirror) -> int:
    """Return how many records the last verification or repair did not find in Salesforce, and kept
    the rows of, until an operator accepts their deletion."""
    ended = mirror.runs.filter(kind__in=(Kind.VERIFY, Kind.REPAIR), state=State.DONE)
    last = ended.order_by("-finished_at", "-id").first()
    return int(last.report.get(REFUSED, 0)) if last else 0


def refusal(model: str, count: int) -> str:
    """Return why the rows of `count` records were kept, and what to do."""
    records, they = ("record is", "it was") if count == 1 else ("records are", "they were")
    return (
        f"{count:,} {records} not in Salesforce, and the rows are kept, since the connection's "
        f"user may have lost access. If {they} deleted: manage.py mirror repair {model} "
        "--accept-deletions"
    )


def _deletions(mirror: Mirror) -> str:
    count = refused_deletions(mirror)
    return refusal(mirror.model, count) if count else ""


def _changes(mirror: Mirror) -> Iterator[str]:
    """Yield the changes that the rows lack although a worker tried to apply them."""
    if count := deliveries_of(mirror, Delivery.State.DEAD).count():
        noun = "change was" if count == 1 else "changes were"
        yield f"{count:,} {noun} not applied: see the dead letters of mirror.apply"
    unread = mirror.dirty_rows.filter(attempts__gte=_READS)
    if (row := unread.order_by("pk").first()) is not None:
        count = unread.count()
        noun = "record cannot" if count == 1 else "records cannot"
        yield f"{count:,} {noun} be read or written, such as {row.record_id}: {row.error}"
