"""Parts for the months that come."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from audit.partitions.brief import brief
from audit.partitions.months import Month
from audit.partitions.table import (
    REST,
    TABLE,
    columns,
    name_of,
    parts,
    quoted,
    rows,
    run,
)

log = structlog.get_logger(__name__)

#: Without anybody who makes more, recording needs the default part after so many months.
AHEAD = 3
#: Changes of a month without a part are moved to it where they are not more: others wait meanwhile.
MOVED = 50_000
#: What is received now may have been committed so long before.
LATE = timedelta(days=4)

#: Taken by who makes parts: of two at once the second has nothing to do.
_MAKING = "SELECT pg_try_advisory_xact_lock(hashtext('audit.partitions'))"
_COUNT = f"""
SELECT count(*) FROM (SELECT FROM {REST} WHERE commit_timestamp >= %s AND commit_timestamp < %s
LIMIT %s) found
"""


def make(now: datetime) -> list[str]:
    """Of the months from the current one on; the names of those that were missing. Never inside a
    transaction. Raises Busy."""
    return [name for month in missing(now) if (name := _made(month))]


def missing(now: datetime) -> list[Month]:
    first, last = Month.of(now - LATE), Month.of(now).next(AHEAD)
    wanted = [first.next(number) for number in range(AHEAD + 2)]
    return [month for month in wanted if month <= last and not _is_there(month)]


def _is_there(month: Month) -> bool:
    """Or a part of it is in another part."""
    return any(
        month.since < part.until and (part.since is None or part.since < month.until)
        for part in parts()
        if part.until is not None
    )


def _made(month: Month) -> str:
    """The name of the part, or nothing: it was made by another process, or is not made at all."""
    with brief():
        if rows(_MAKING) != [(True,)] or _is_there(month):
            return ""
        [(caught,)] = rows(_COUNT, [month.since, month.until, MOVED + 1])
        if caught > MOVED:
            log.warning("a month stays in the default part", month=str(month))
            return ""
        add(month)
    log.info("a part of the audit log was made", part=name_of(month), moved=caught)
    return name_of(month)


def add(month: Month) -> None:
    """The part, with what the default one caught of it. Inside the caller's transaction."""
    part, parent, rest = quoted(name_of(month)), quoted(TABLE), quoted(REST)
    names = columns()
    run(
        f"CREATE TABLE {part} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        f"LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE",
        f"""
        WITH caught AS (
            DELETE FROM {rest}
            WHERE commit_timestamp >= {month.since} AND commit_timestamp < {month.until}
            RETURNING {names})
        INSERT INTO {part} ({names}) SELECT {names} FROM caught
        """,
        f"ALTER TABLE {parent} ATTACH PARTITION {part} "
        f"FOR VALUES FROM ({month.since}) TO ({month.until})",
    )
