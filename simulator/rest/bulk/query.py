"""The queries that Bulk API 2.0 accepts."""

import re
from collections.abc import Mapping

from simulator.org import description
from simulator.org.catalogue import Entity
from simulator.org.fields import COMPOUND
from simulator.org.org import Org
from simulator.rest.errors import RestError
from simulator.rest.queries import checked
from simulator.rest.soql_query import Query

STRING = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
AGGREGATES = r"\b(?:COUNT|COUNT_DISTINCT|SUM|AVG|MIN|MAX)\s*\("
#: Refused clauses, and what they are called in the message.
REFUSED_CLAUSES: Mapping[str, str] = {
    r"\(\s*SELECT\b": "Parent-to-child relationship queries are not supported in Bulk Query",
    r"\bTYPEOF\b": "TYPEOF clause is not supported in Bulk Query",
    r"\bGROUP\s+BY\b": "GROUP BY clause is not supported in Bulk Query",
    AGGREGATES: "Aggregate functions are not supported in Bulk Query",
    r"\bOFFSET\b": "OFFSET clause is not supported in Bulk Query",
}
#: Objects that Bulk API 2.0 never queries.
REFUSED_OBJECTS = (
    *("AcceptedEventRelation", "Attachment", "CaseStatus", "ContractStatus", "OrderStatus"),
    *("PartnerRole", "RecentlyViewed", "TaskPriority", "TaskStatus"),
)
NOT_IN_CSV = ("base64", "complexvalue", "JunctionIdList")


def parsed(org: Org, text: str) -> tuple[Query, Entity, dict[str, str]]:
    """Return the query, its entity, and the org's spelling of its fields.

    Raises RestError for a query that Bulk API 2.0 refuses.
    """
    bare = STRING.sub("''", text)
    for clause, problem in REFUSED_CLAUSES.items():
        if re.search(clause, bare, re.IGNORECASE):
            raise RestError("API_ERROR", problem)
    if (named := re.search(r"\bFROM\s+(\w+)", bare, re.IGNORECASE)) is not None:
        refuse_object(org, named[1])
    query, entity, spelt = checked(org, text)
    for name in query.names:
        _check_type(entity, spelt[name])
    return query, entity, spelt


def refuse_object(org: Org, name: str) -> None:
    """Raise RestError for an object that Bulk API 2.0 does not query."""
    entity = org.catalogue.find(name)
    refused = {refused.casefold() for refused in REFUSED_OBJECTS}
    if name.casefold() in refused or (entity is not None and not entity.has_bulk):
        raise RestError("INVALIDENTITY", f"Entity '{name}' is not supported by the Bulk API.")


def _check_type(entity: Entity, name: str) -> None:
    kind = description.field_type(entity, name)
    if kind in COMPOUND:
        raise RestError("API_ERROR", "Selecting compound data not supported in Bulk Query")
    if kind in NOT_IN_CSV:
        raise RestError("API_ERROR", f"Field {name} of type {kind} is not supported in Bulk Query")
