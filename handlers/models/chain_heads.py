"""The queries that look into each of many chains: whether it is occupied, and its next delivery."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

from audit.db.prepared import Prepared, prepared_cursor, stored


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


_ON_POSTGRESQL, _ON_SQLITE = "unnest(%s::text[]) AS c (value)", "json_each(%s) AS c"
#: PostgreSQL expects ten chains in an array that it does not know, and would plan a search for one
#: chain anew each time. That takes far longer than the search itself.
_SINGLE = "(SELECT CAST(%s AS text) AS value) AS c"
_WITH_DELIVERY = "SELECT c.value FROM {chains} WHERE ({delivery}) IS NOT NULL"
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


def with_delivery(chains: Collection[str], of_chain: Prepared) -> set[str]:
    """Return the chains of which `of_chain` finds a delivery, with `c.value` as its chain.

    PostgreSQL looks up each chain in the index. With the chains in a condition it would read all
    open deliveries instead if there were few when it made its plan, however many there are later.
    """
    if not chains:
        return set()
    parameters: list[str] | list[list[str]]
    if len(chains) == 1:
        given, parameters = _SINGLE, list(chains)
    else:
        given = _ON_POSTGRESQL if connection.vendor == "postgresql" else _ON_SQLITE
        parameters = [list(chains)]
    with prepared_cursor() as cursor:
        sql = _WITH_DELIVERY.format(chains=given, delivery=of_chain.sql)
        cursor.execute(sql, stored(parameters))
        return {chain for (chain,) in cursor.fetchall()}


def followers(chains: Collection[str]) -> list[Follower]:
    """Return the first blocked delivery of each chain that has no open or halting delivery.

    A chain whose first blocked delivery awaits its record or the mirror returns none.
    """
    if not chains:
        return []
    if connection.vendor == "postgresql":
        sql = _FOLLOWERS.format(chains=_ON_POSTGRESQL, halts="h.halts")
    else:
        sql = _FOLLOWERS.format(
            chains=_ON_SQLITE, halts="h.halts AND h.halts = 1"
        )  # the form that Django 5.2 and 6.1 write
    with connection.cursor() as cursor:
        cursor.execute(sql, stored([list(chains)]))
        return [
            Follower(pk, handler, queue, bool(external), bool(paused), counted, max_attempts)
            for pk, handler, queue, external, paused, counted, max_attempts in cursor.fetchall()
        ]
