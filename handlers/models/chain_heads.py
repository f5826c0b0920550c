"""The query for the next delivery of each chain: the first blocked one, provided that no delivery
of the chain is open or halts it, and that it awaits neither its record nor the mirror."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Follower:
    """The next delivery of a chain, with the columns that decide where it can run.

    counted        the number of its attempts that count against the limit
    max_attempts   the mapping's limit, if it has one
    """

    id: int
    handler: str
    queue: str
    is_external: bool
    is_paused: bool
    counted: int
    max_attempts: int | None


#: Reads one row for each chain, however long the chain is: PostgreSQL evaluates a subquery with a
#: LIMIT for each chain and does not turn it into a join. The conditions repeat those of the partial
#: indexes literally, because SQLite uses a partial index only then.
_FOLLOWERS = """
SELECT d.id, d.handler, d.queue, d.is_external, m.paused_at IS NOT NULL,
    d.attempts - d.attempts_before, m.max_attempts
FROM {chains}
JOIN handlers_delivery d ON d.id = (
    SELECT b.id FROM handlers_delivery b
    WHERE b.chain = c.value AND b.state = 'blocked' ORDER BY b.id LIMIT 1
)
LEFT JOIN handlers_handlermapping m ON m.id = d.mapping_id
WHERE NOT d.awaits_record AND NOT d.awaits_mirror AND (
    SELECT o.id FROM handlers_delivery o
    WHERE o.chain = c.value
    AND o.state IN ('ready', 'queued', 'running', 'retrying') AND NOT (o.chain = '') LIMIT 1
) IS NULL AND (
    SELECT h.id FROM handlers_delivery h WHERE h.chain = c.value AND {halts} LIMIT 1
) IS NULL
ORDER BY d.id
"""


def followers(chains: Collection[str]) -> list[Follower]:
    """Return the first blocked delivery of each chain that has no open or halting delivery.

    A chain whose first blocked delivery awaits its record or the mirror returns none.
    """
    if not chains:
        return []
    if connection.vendor == "postgresql":
        parameter: str | list[str] = list(chains)
        sql = _FOLLOWERS.format(chains="unnest(%s::text[]) AS c (value)", halts="h.halts")
    else:
        parameter = json.dumps(list(chains))
        sql = _FOLLOWERS.format(
            chains="json_each(%s) AS c", halts="h.halts AND h.halts = 1"
        )  # the form that Django 5.2 and 6.1 write
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter])
        return [
            Follower(pk, handler, queue, bool(external), bool(paused), counted, max_attempts)
            for pk, handler, queue, external, paused, counted, max_attempts in cursor.fetchall()
        ]
