"""The data of a listener's drawing, read in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, Sum

from audit.log.throughput import DAY
from audit.models import Throughput
from console.designer import counts
from console.designer.counts import ByMapping, Waiting
from console.navigation import Reader
from handlers.models import Delivery, HandlerMapping, Worker
from handlers.reporting import queue_coverage
from listeners.models import Listener, TokenState
from mirror.models import Mirror

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Facts:
    now: datetime
    reader: Reader
    listener: Listener
    mappings: Sequence[HandlerMapping]
    #: Recorded changes of the last hour and the last day; empty if the user may not see them.
    received: Mapping[timedelta, int] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)
    recent: ByMapping = field(default_factory=dict)
    failures: Mapping[int, Delivery] = field(default_factory=dict)
    workers: Sequence[Worker] = ()
    #: The listener's mirrors, by id; empty if the user may not see them.
    mirrors: Mapping[int, Mirror] = field(default_factory=dict)
    #: Why Salesforce refused the last login; empty if it did not.
    login: str = ""

    def mirror_of(self, mapping: HandlerMapping) -> Mirror | None:
        """Return the mirror that a managed mapping belongs to."""
        return self.mirrors.get(mapping.options.get("mirror", 0)) if mapping.managed else None

    def recent_of(self, mapping_id: int) -> Counter[str]:
        return self.recent.get(mapping_id, Counter())


def read(listener: Listener, reader: Reader, now: datetime) -> Facts:
    """Read the facts; each number is as of its own query. The connection must be loaded."""
    found = HandlerMapping.objects.filter(listener=listener).select_related("destination")
    mappings = list(found) if reader.sees_mappings else []
    ids = [mapping.pk for mapping in mappings]
    sees = reader.sees_deliveries
    return Facts(
        now=now,
        reader=reader,
        listener=listener,
        mappings=mappings,
        received=_received(listener.pk, now) if reader.sees_entries else {},
        waiting=counts.waiting(listener.pk, ids) if sees else Waiting(),
        recent=counts.recent(listener.pk) if sees else {},
        failures=counts.last_failures(ids) if sees else {},
        workers=queue_coverage.seen() if reader.sees_workers else (),
        mirrors=listener.mirrors.in_bulk() if reader.sees_mirrors else {},
        login=_refusal(listener),
    )


def _received(listener_id: int, now: datetime) -> dict[timedelta, int]:
    minutes = Throughput.objects.filter(listener=listener_id, minute__gt=now - DAY).order_by()
    sums = minutes.aggregate(
        day=Sum("entries"), hour=Sum("entries", filter=Q(minute__gt=now - HOUR))
    )
    return {HOUR: sums["hour"] or 0, DAY: sums["day"] or 0}


def _refusal(listener: Listener) -> str:
    """Return why the last login with these credentials was refused; empty if it worked."""
    refused = TokenState.objects.filter(connection=listener.connection_id, refusals__gt=0)
    return refused.values_list("refusal", flat=True).first() or ""
