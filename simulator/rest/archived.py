"""Archived activities, which only `queryAll` returns."""

from dataclasses import replace

from simulator.org.catalogue import Entity
from simulator.org.description import all_definitions
from simulator.rest.soql_query import Query
from simulator.rest.soql_where import Comparison, Joined, Literal

ARCHIVED = "IsArchived"


def unarchived(query: Query, entity: Entity, spelt: dict[str, str]) -> tuple[Query, dict[str, str]]:
    """Return the query as `query` runs it, and its spelling: without archived records, if the
    object can have any."""
    if ARCHIVED not in all_definitions(entity):
        return query, spelt
    condition = Comparison(ARCHIVED, "!=", (Literal("word", True),), 0)
    where = Joined("AND", (query.where, condition)) if query.where else condition
    return replace(query, where=where), {**spelt, ARCHIVED: ARCHIVED}
