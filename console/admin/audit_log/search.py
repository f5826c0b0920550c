"""The search terms of the audit log and of deliveries, and their look-ups."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.db.models import Q

from audit.db.rare import values_of_few
from audit.models import AuditLogEntry
from listeners.salesforce.rest.records import long_id

ENTRY_SEARCH_HELP = "Record ID, user:ID, tx:ID or entity:Name"
RECORD_SEARCH_HELP = "Record ID (18 or 15 characters) or its beginning"
WHOLE_ID = 15
_TRANSACTION_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: A user's ID, which finds changes by the user; `record:005…` finds changes of the user record.
_USER_ID = re.compile(r"005[0-9A-Za-z]{12}([0-9A-Za-z]{3})?")
_RECORD_ID = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")
_KINDS = {
    "record": "record",
    "user": "user",
    "tx": "transaction",
    "transaction": "transaction",
    "entity": "entity",
}


def entries(search: str) -> Q:
    """Return the condition of a search: any term of each kind, and all kinds."""
    terms = _by_kind(search)
    condition = Q()
    if records := terms["record"]:
        condition &= record_ids("record_id", " ".join(records))
    if users := terms["user"]:
        condition &= Q(commit_user__in=[form for user in users for form in forms(user)])
    if keys := terms["transaction"]:
        condition &= Q(transaction_key__in=keys)
    if names := terms["entity"]:
        condition &= Q(entity_name__in=names)
    return condition


def record_ids(field: str, search: str) -> Q:
    """Return the condition of record IDs: of 18 or 15 characters, or the beginning of one.

    Beginnings that few entries have are replaced with their records (`audit.db.rare`): PostgreSQL
    may expect a hundredth of all entries to have one of them.
    """
    terms = set(search.split())
    if not terms:
        return Q()
    beginnings = {term for term in terms if len(term) < WHOLE_ID}
    ids = {form for term in terms - beginnings for form in forms(term)}
    if not beginnings:
        return Q(**{f"{field}__in": sorted(ids)})
    matching = AuditLogEntry.objects.filter(_begins("record_id", beginnings))
    found = values_of_few(matching, "record_id")
    if found is not None:
        return Q(**{f"{field}__in": sorted(ids.union(found))})
    return Q(**{f"{field}__in": sorted(ids)}) | _begins(field, beginnings)


def _begins(field: str, beginnings: Iterable[str]) -> Q:
    return reduce(or_, (Q(**{f"{field}__begins": one}) for one in sorted(beginnings)))


def whole_records(search: str) -> list[str]:
    """Return the complete record IDs of a search, in their long form."""
    terms = _by_kind(search)
    found = [*terms["record"], *terms["user"]]
    return list(dict.fromkeys(long_id(term) for term in found if _RECORD_ID.fullmatch(term)))


def forms(record_id: str) -> list[str]:
    """Return the forms in which an ID may be recorded."""
    return list(dict.fromkeys([record_id, long_id(record_id)]))


def _by_kind(search: str) -> defaultdict[str, list[str]]:
    """Group terms by their prefix (`tx:`, `user:`, `entity:`, `record:`) or else by their shape."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for term in search.split():
        prefix, _, rest = term.partition(":")
        if rest and prefix.lower() in _KINDS:
            found[_KINDS[prefix.lower()]].append(rest)
        elif _TRANSACTION_KEY.fullmatch(term.lower()):
            found["transaction"] += [term, term.lower()]
        elif _USER_ID.fullmatch(term):
            found["user"].append(term)
        else:
            found["record"].append(term)
    return found
