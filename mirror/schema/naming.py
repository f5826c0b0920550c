"""Names: Salesforce's API names as Django columns, and the components of compound fields.

A column is the API name in snake case without `__c`: `NumberOfEmployees` → `number_of_employees`,
`Region__c` → `region`, `AccountId` → `account_id`, `BillingCity` → `billing_city`. The components
of a custom geolocation keep their kind: `Site__Latitude__s` → `site_latitude`.
"""

from __future__ import annotations

import keyword
import re

#: Columns that every mirrored model has beside the object's fields.
OWN = ("salesforce_id", "is_deleted", "is_complete", "synced_at", "version", "raw")
#: Fields whose values no event carries and no refresh reads: a column would keep its first value.
NOT_KEPT = frozenset({"SystemModstamp", "LastViewedDate", "LastReferencedDate"})
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SUFFIX = re.compile(r"__[a-z]+$")
#: PostgreSQL cuts identifiers off after 63 bytes.
LONGEST = 63


def column_name(api_name: str) -> str:
    """Return the column's name by the rule, without regard to clashes with other columns."""
    bare = _SUFFIX.sub("", api_name)
    name = _WORD.sub("_", bare).lower()
    name = re.sub(r"\W|_+", "_", name).strip("_")
    if not name or not name[0].isalpha():
        name = f"field_{name}".rstrip("_")
    return f"{name}_field" if keyword.iskeyword(name) else name
