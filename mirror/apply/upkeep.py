"""The upkeep of mirrors: recovery of dead letters, searches for gaps and merges, reading of dirty
records, and removal of old tombstones.

`start_due` looks for work in each round of the relay and starts a task for each mirror that has
some; `work` is the task. One worker at a time does a mirror's upkeep.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError
from django.db.models import Q

from audit.db.prepared import Param, Prepared
from handlers import broker
from handlers.listener_rest_client import CANNOT_READ
from handlers.outbox import publish
from listeners.clock import database_clock
from mirror import budget
from mirror.apply import dead_letters, dirty, gap_scan, merges, problem, reader
from mirror.models import Mirror
from mirror.schema.columns import NotMirrorable, columns_of, model_named

log = structlog.get_logger(__name__)

TASK = "mirror.upkeep"
#: Seconds after which a task ends, and the next round starts another.
BUDGET = 20.0
#: Time for a worker to begin, and for each step; then another message is sent.
_SPAN = timedelta(seconds=30)
#: When the upkeep is tried again after a step failed.
_AGAIN = timedelta(seconds=10)
#: How long a tombstone stays with deletes=hard: no event can be older when it arrives.
TOMBSTONES = timedelta(hours=72)
_ROWS = 1000
_PURGE_SECONDS = 3600


_WITHOUT_UPKEEP = Prepared(
    lambda: Mirror.objects.filter(_idle(Param("now"))).select_related("listener")
)


def start_due(now: datetime) -> int:
    """Start the upkeep of each mirror that has work; return how many.

    Never inside a transaction.
    """
    mirrors = _WITHOUT_UPKEEP.objects(now=now)
    if not mirrors:
        return 0
    listeners = Mirror.objects.order_by().values_list("listener", flat=True).distinct()
    last_ids = gap_scan.last_entry_ids(list(listeners))
    with_dead = dead_letters.mirrors_with_halted_chains()
    started = 0
    for mirror in mirrors:
        last_id = last_ids.get(mirror.listener_id, 0)
        is_dirty = mirror.pk in with_dead or dirty.due(now).filter(mirror=mirror).exists()
        if is_dirty or _has_gaps(mirror, last_id) or merges.is_due(mirror, last_ids):
            started += _start(mirror, now)
    return started


def _idle(now: datetime | Param) -> Q:
    return Q(upkeep_until=None) | Q(upkeep_until__lt=now)


def _has_gaps(mirror: Mirror, last_id: int) -> bool:
    """Return whether new entries are to be examined; without one, the search has reached them."""
    if last_id <= mirror.scanned_entry_id:
        return False
    if gap_scan.without_data(mirror).exists():
        return True
    gap_scan.advance(mirror, last_id)
    return False


def _start(mirror: Mirror, now: datetime) -> bool:
    mine = Mirror.objects.filter(_idle(now), pk=mirror.pk)
    if not mine.update(upkeep_until=now + _SPAN):
        return False
    return broker.start_or_leave(TASK, mirror_id=mirror.pk)


def work(mirror_id: int) -> None:
    """Recover dead letters, search for gaps and merges, read dirty records, and purge tombstones.

    Never inside a transaction.
    """
    mirror = Mirror.objects.filter(pk=mirror_id).select_related("listener__connection").first()
    if mirror is None:
        return
    steps = (_recover, gap_scan.scan, merges.search, _read, _purge_hard)
    errors = [error for step in steps if (error := _error_of(step, mirror)) is not None]
    problem.note_upkeep(mirror, errors)
    _extend(mirror, database_clock.now() + _AGAIN if errors else None)


def _error_of(step: Callable[[Mirror], object], mirror: Mirror) -> Exception | None:
    """Take a step; return the error that ended it, which holds up no other step: Salesforce or a
    database did not answer, or the model's class was removed."""
    try:
        step(mirror)
    except (*CANNOT_READ, DatabaseError, InterfaceError, NotMirrorable) as error:
        log.warning("upkeep postponed", mirror=mirror.model, reason=str(error).strip())
        return error
    return None


def _recover(mirror: Mirror) -> None:
    publish.publish_or_leave(dead_letters.recover(mirror), database_clock.now())


def _read(mirror: Mirror) -> None:
    """Read dirty records until none is due, the time is over, or the org's daily calls are nearly
    used up."""
    ends_at, client = time.monotonic() + BUDGET, reader.client_of(mirror)
    while time.monotonic() < ends_at:
        if reason := _pause(mirror, client):
            now = database_clock.now()
            held = dirty.hold(mirror, now, now + timedelta(seconds=budget.PAUSE), reason)
            log.warning("reads postponed", mirror=mirror.model, records=held, reason=reason)
            return
        if not reader.read_page(mirror, client):
            return
        _extend(mirror, database_clock.now() + _SPAN)


def _pause(mirror: Mirror, client: budget.HasUsage) -> str:
    """Return why records are not read now, by the last answers of the org to any process; empty if
    they are."""
    key = f"mirror-reads-paused-{mirror.listener.connection_id}"
    if (pause := budget.pause(client)) is not None:
        cache.set(key, pause.reason, int(pause.seconds))
    return str(cache.get(key, ""))


def _purge_hard(mirror: Mirror) -> None:
    if mirror.deletes == Mirror.Deletes.HARD:
        purge(mirror, database_clock.now())


def _extend(mirror: Mirror, until: datetime | None) -> None:
    Mirror.objects.filter(pk=mirror.pk).update(upkeep_until=until)


def start_purges(now: datetime) -> int:
    """Start the upkeep of the mirrors with deletes=hard, once an hour; return how many.

    Never inside a transaction.
    """
    hard = Mirror.objects.filter(deletes=Mirror.Deletes.HARD)
    due = (one for one in hard if cache.add(f"mirror-purge-{one.pk}", 1, _PURGE_SECONDS))
    return sum(_start(mirror, now) for mirror in due)


def purge(mirror: Mirror, now: datetime) -> int:
    """Remove the rows of records that were deleted long ago, unless they are to be read; return
    how many. Never inside a transaction."""
    model = columns_of(model_named(mirror.model)).model
    rows = model._base_manager.using(mirror.database)
    old = rows.filter(is_deleted=True, synced_at__lt=now - TOMBSTONES).order_by("pk")
    removed, last = 0, ""
    while ids := list(old.filter(pk__gt=last).values_list("pk", flat=True)[:_ROWS]):
        last = ids[-1]
        kept = dirty.marked_among(mirror, ids)
        # A row that was restored in the meantime does not match the filter any more.
        gone = old.filter(pk__in=[key for key in ids if key not in kept]).order_by()
        removed += gone._raw_delete(mirror.database)
    return removed
