"""Release the deliveries that wait for the mirror, once its rows have their changes.

Call these after the rows' commit. If a crash prevents a release, the relay makes it with
`release_overdue`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import structlog
from django.db import DatabaseError, transaction

from audit.db.retry import retry
from handlers.ordering import await_mirror
from handlers.outbox import publish
from listeners import crash_points
from listeners.clock import database_clock
from mirror.models import Mirror

log = structlog.get_logger(__name__)

#: Seconds for which a release is retried after a database error; then the relay makes it.
RETRY_SECONDS = 3.0
#: The delivery up to which this process has examined those that wait for a mirror.
_examined_to = 0


def release_applied(entry_ids: Collection[int]) -> None:
    """Release the deliveries of changes that the rows have now: applied, or overtaken by the rows.

    Not of changes that made their record dirty. Inside any transaction.
    """
    if await_mirror.is_awaited(entry_ids):
        _release(partial(await_mirror.release_entries, entry_ids))


def release_read(mirror: Mirror, read_to: Mapping[str, int]) -> None:
    """Release the deliveries of records that were read, or found deleted.

    `read_to` has, by record id, the time in ms since 1970 up to which the reading contains every
    committed change. Later ones may have made the record dirty again. Inside any transaction.
    """
    if read_to:
        entity = mirror.salesforce_object
        _release(partial(await_mirror.release_records, mirror.listener_id, entity, read_to))


def release_overdue() -> int:
    """Release deliveries that still wait although the mirror has applied their changes; return how
    many were found.

    The worker that applies the changes releases them, unless it dies between the two. Never inside
    a transaction.
    """
    global _examined_to
    found, _examined_to = await_mirror.overdue(_examined_to)
    for start in range(0, len(found), await_mirror.ROWS):
        _release_once(partial(await_mirror.release, found[start : start + await_mirror.ROWS]))
    if found:
        log.info("deliveries released after the mirror", deliveries=len(found))
    return len(found)


def release_after_load() -> None:
    """Release the deliveries that waited for a mirror's first load, which has ended: as many as a
    round of the relay does; its next rounds release the others. Never inside a transaction."""
    try:
        release_overdue()
    except DatabaseError as error:
        # No failure of the load, which is committed.
        log.warning("deliveries left for the relay to release", reason=str(error).strip())


def _release(release: Callable[[], list[int]]) -> None:
    crash_points.reach("mirrored")
    if transaction.get_connection().in_atomic_block:
        _release_once(release)
        return
    try:
        retry(partial(_release_once, release), "release deliveries", limit=RETRY_SECONDS)
    except DatabaseError as error:
        # No failure of the mirror, whose rows are committed.
        log.warning("deliveries left for the relay to release", reason=str(error).strip())


def _release_once(release: Callable[[], list[int]]) -> None:
    with transaction.atomic():
        ready = release()
        if ready:
            transaction.on_commit(partial(_publish, ready))


def _publish(ready: list[int]) -> None:
    publish.publish_or_leave(ready, database_clock.now())
