"""The next delivery of each chain that nothing holds any more."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

#: What is still ready this long after it was received was left behind by who committed it: the
#: relay publishes it.
READY_AGE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Follower:
    """The next delivery of a chain, and what says where it can run.

    counted        of its attempts, those that count against the limit
    max_attempts   its mapping's, where it names any
    """

    id: int
    handler: str
    queue: str
    is_external: bool
    is_paused: bool
    counted: int
    max_attempts: int | None


#: Of each chain one row is read, however long it is, and however many others there are: what has a
#: limit PostgreSQL looks up for each, and joins to none. The conditions are those of the indexes,
#: word for word: SQLite looks at no other.
_FOLLOWERS = """
SELECT d.id, d.handler, d.queue, d.is_external, m.paused_at IS NOT NULL,
    d.attempts - d.attempts_before, m.max_attempts
FROM {chains}
JOIN handlers_delivery d ON d.id = (
    SELECT b.id FROM handlers_delivery b
    WHERE b.chain = c.value AND b.state = 'blocked' ORDER BY b.id LIMIT 1
)
LEFT JOIN handlers_handlermapping m ON m.id = d.mapping_id
WHERE NOT d.awaits_record AND (
    SELECT o.id FROM handlers_delivery o
    WHERE o.chain = c.value
    AND o.state IN ('ready', 'queued', 'running', 'retrying') AND NOT (o.chain = '') LIMIT 1
) IS NULL AND (
    SELECT h.id FROM handlers_delivery h WHERE h.chain = c.value AND {halts} LIMIT 1
) IS NULL
ORDER BY d.id
"""


def followers(chains: Collection[str]) -> list[Follower]:
    """Return the first blocked delivery of each chain in which none is open or halts, unless it
    awaits its record: then nothing of the chain begins."""
    if not chains:
        return []
    if connection.vendor == "postgresql":
        told: str | list[str] = list(chains)
        sql = _FOLLOWERS.format(chains="unnest(%s::text[]) AS c (value)", halts="h.halts")
    else:
        told = json.dumps(list(chains))
        sql = _FOLLOWERS.format(
            chains="json_each(%s) AS c", halts="h.halts AND h.halts = 1"
        )  # as Django 5.2 and 6.1 have it
    with connection.cursor() as cursor:
        cursor.execute(sql, [told])
        return [
            Follower(pk, handler, queue, bool(external), bool(paused), counted, most)
            for pk, handler, queue, external, paused, counted, most in cursor.fetchall()
        ]
