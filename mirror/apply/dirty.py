"""Marks records as dirty: they are read again, and until then events leave their rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.db import transaction

from listeners.clock import database_clock
from mirror.models import DirtyRow, Mirror

#: The shortest time between what is unknown and the read that includes it.
SETTLED = timedelta(seconds=2)
#: Rows in one statement.
_ROWS = 500


def mark(mirror: Mirror, since: Mapping[str, int], reason: str) -> None:
    """Mark records as dirty; `since` has for each the time in ms since 1970 that the read must
    begin after. Of a record that is dirty already, only the time moves forward.

    Inside any transaction of the default database.
    """
    due_at = database_clock.now() + SETTLED
    ids = sorted(since)
    for start in range(0, len(ids), _ROWS):
        page = ids[start : start + _ROWS]
        with transaction.atomic():
            DirtyRow.objects.bulk_create(
                [
                    DirtyRow(
                        mirror=mirror, record_id=one, since=since[one], reason=reason, due_at=due_at
                    )
                    for one in page
                ],
                ignore_conflicts=True,
            )
            known = DirtyRow.objects.filter(mirror=mirror, record_id__in=page)
            earlier = [
                row
                for row in known.order_by("record_id").select_for_update()
                if row.since < since[row.record_id]
            ]
            for row in earlier:
                row.since, row.due_at = since[row.record_id], max(row.due_at, due_at)
            DirtyRow.objects.bulk_update(earlier, ["since", "due_at"])
