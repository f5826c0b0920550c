"""Look up rare values before a query, because PostgreSQL may take them to be frequent."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from audit.db.row_count import TookTooLong, time_limit

#: The most rows that are looked up.
FEW = 1000
#: Time limit of a look-up, in seconds.
SECONDS = 1


def values_of_few(rows: QuerySet[Any], field: str) -> list[Any] | None:
    """Return the field's values in the rows, or None if there are more than `FEW` rows or reading
    them takes too long.

    For a page in the order of recording, PostgreSQL reads backwards from the newest row when it
    expects many matches. If there are few, it reads all rows. Its statistics tell nothing about
    values that are rarer than those in its sample.
    """
    try:
        with time_limit(SECONDS):
            found = list(rows.order_by().values_list(field, flat=True)[: FEW + 1])
    except TookTooLong:
        return None
    return found if len(found) <= FEW else None
