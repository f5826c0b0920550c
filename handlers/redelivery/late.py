"""Changes that are recorded after later ones of their records, such as those from quarantine: their
deliveries are treated like redelivered ones, so that they do not undo what later changes set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from audit.action_log import Actor
from audit.models import AuditLogEntry
from handlers.models import Delivery, Redelivery
from handlers.redelivery.request import Row, Verdict, stored


def redeliver_late(
    entries: Sequence[AuditLogEntry], by: Actor, criteria: dict[str, Any], now: datetime
) -> Redelivery | None:
    """Link the new deliveries of entries whose records have changes that were received later to a
    redelivery that has ended; return it, or None if there are none.

    All `entries` belong to one listener. Inside the caller's transaction, which has locked the
    listener's position and created the deliveries.
    """
    changed = _changed_since(entries)
    late = [entry.pk for entry in entries if entry.record_id in changed]
    deliveries = Delivery.objects.filter(entry__in=late).exclude(state=Delivery.State.SKIPPED)
    handlers = list(deliveries.values_list("handler", flat=True))
    if not handlers:
        return None
    redelivery = Redelivery.objects.create(
        requested_by=str(by)[:150],
        criteria=criteria,
        state=Redelivery.State.DONE,
        requested_at=now,
        started_at=now,
        finished_at=now,
        total=len(handlers),
        done=len(handlers),
        count=len(handlers),
        counts=stored(Counter(Row(handler, "", Verdict.FIRST_TIME) for handler in handlers)),
    )
    deliveries.update(redelivery=redelivery)
    return redelivery


def _changed_since(entries: Sequence[AuditLogEntry]) -> set[str]:
    """Return the records of these entries that have other changes which were received later, or in
    the same response."""
    if not entries:
        return set()
    later = AuditLogEntry.objects.filter(
        listener=entries[0].listener_id,
        record_id__in={entry.record_id for entry in entries},
        received_at__gte=min(entry.received_at for entry in entries),
    )
    others = later.exclude(pk__in=[entry.pk for entry in entries])
    return set(others.values_list("record_id", flat=True))
