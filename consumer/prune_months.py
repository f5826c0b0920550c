"""Old months of a partitioned audit log: each goes as a whole, with its deliveries and attempts.

It is taken out first, in one short transaction that leaves what is still needed in the default
part. From then on nobody finds its entries; what was left of them is deleted in small transactions
after that, and what was broken off there is ended by the next pruning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from audit.models import AuditLogEntry, DirtyRecord, Reconciliation
from audit.partitions import dropping
from audit.partitions.brief import Busy, brief, insist
from audit.partitions.months import milliseconds
from audit.partitions.table import Part, gone, parts
from consumer import prune_entries
from handlers.models import Delivery
from listeners import milestones
from listeners.models import Position

log = structlog.get_logger(__name__)

#: Of a month more are not moved: nothing is recorded meanwhile. It stays, and all of it is kept.
MOVED = 50_000
ROWS = 5000
TRIES = 5

Step = Callable[[], Counter[str]]


def steps(before: datetime) -> Iterator[Step]:
    for name in gone():
        yield from _emptied(name)
    for part in past(before):
        taken: list[str] = []
        yield partial(_take_out, part, before, taken)
        for name in taken:
            yield from _emptied(name)


def past(before: datetime) -> list[Part]:
    """Those of which everything was committed before, the oldest first."""
    return [part for part in parts() if part.is_over(milliseconds(before))]


def older(part: Part, before: datetime) -> QuerySet[AuditLogEntry]:
    return _of(part).filter(received_at__lt=before)


def prunable(part: Part, before: datetime) -> Any:
    return prune_entries.unneeded(older(part, before))


def _of(part: Part) -> QuerySet[AuditLogEntry]:
    return AuditLogEntry.objects.filter(_within(part)).order_by()


def _within(part: Part, of_entry: str = "") -> Q:
    bounds = Q(**{f"{of_entry}commit_timestamp__lt": part.until})
    if part.since is not None:
        bounds &= Q(**{f"{of_entry}commit_timestamp__gte": part.since})
    return bounds


def _take_out(part: Part, before: datetime, taken: list[str]) -> Counter[str]:
    """`taken`: is given the name that it has afterwards, when it was not left where it is."""
    try:
        name = insist(partial(_taken, part, before), TRIES)
    except Busy as error:
        log.warning("a month is pruned later", part=part.name, reason=str(error))
        return Counter()
    milestones.reach("detached")
    taken += [name] if name else []
    return Counter()


def _taken(part: Part, before: datetime) -> str:
    """One transaction. It keeps recording and redelivering out, who could begin to need an entry
    meanwhile: no foreign key would tell."""
    with brief():
        list(Position.objects.order_by("pk").select_for_update().values_list("pk"))
        if part.name not in [one.name for one in past(before)]:
            return ""
        keep = _kept(part, before)
        if len(keep) > MOVED:
            log.warning("a month stays, of which much is needed", part=part.name)
            return ""
        return dropping.take_out(part, keep)


def _kept(part: Part, before: datetime) -> list[int]:
    """What is needed of it (as `prune_entries` has it) or came late; of too many, enough to tell.

    From what needs an entry, which an index finds for each state: everybody waits for the answer.
    """
    waiting = [Delivery.objects.filter(state=state) for state in Delivery.UNENDED]
    due = Reconciliation.objects.exclude(state=Reconciliation.State.DONE)
    needing = (*waiting, Delivery.objects.filter(halts=True), DirtyRecord.objects.all(), due)
    kept: set[int] = set()
    kept.update(_some(_of(part).filter(received_at__gte=before), "pk"))
    for rows in needing:
        kept.update(_some(rows.filter(_within(part, "entry__")), "entry_id"))
    return sorted(kept)


def _some(rows: Any, name: str) -> Iterable[int]:
    found: Iterable[int] = rows.order_by().values_list(name, flat=True)[: MOVED + 1]
    return found


def _emptied(name: str) -> Iterator[Step]:
    last = dropping.done(name)
    while ids := dropping.ids(name, last, ROWS):
        yield partial(_delete_of, name, ids)
        last = ids[-1]
    yield partial(_drop, name)


def _delete_of(name: str, ids: Sequence[int]) -> Counter[str]:
    """What is left of entries that are not in the audit log any more. Of two at once the second
    waits at the mark."""
    deleted: Counter[str] = Counter()
    with dropping.unless_dropped(), transaction.atomic(durable=True):
        dropping.mark_done(name, ids[-1])
        deleted["deliveries"] = prune_entries.delete_dependents(ids)
    return deleted


def _drop(name: str) -> Counter[str]:
    try:
        return Counter(entries=insist(partial(dropping.drop, name), TRIES))
    except Busy as error:
        log.warning("a month is dropped later", part=name, reason=str(error))
        return Counter()
