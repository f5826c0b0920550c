"""Incidents about dead letters, one for each listener and handler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from audit.models import Incident, Trouble
from consumer.monitoring.snapshot import Watched, close
from handlers.models import Delivery

KIND = Incident.Kind.DEAD_LETTERS
#: The most dead letters that are counted; the exact number above it does not matter.
COUNTED = 10_000


def check(seen: Sequence[Watched], now: datetime) -> None:
    """Open, refresh or close the incident of each listener and handler. Inside any transaction."""
    counts, is_all = _counts()
    for watched in seen:
        mine = {handler: n for (pk, handler), n in counts.items() if pk == watched.listener.pk}
        for handler, count in mine.items():
            trouble = _trouble(handler, count, is_all=is_all)
            known = watched.open(KIND, trouble.key[:255])
            if known is None or known.summary != trouble.summary:
                Incident.objects.report(watched.listener.pk, trouble, now)
        for (kind, key), incident in watched.incidents.items():
            if kind == KIND and key not in mine and (is_all or not _is_any_left(watched, key)):
                close(incident, "No dead letters left: they were redelivered or pruned.", now)


def _counts() -> tuple[Counter[tuple[int, str]], bool]:
    """Return how many of the newest COUNTED dead letters each listener and handler has, and
    whether that is all of them."""
    newest = Delivery.objects.filter(state=Delivery.State.DEAD).order_by("-id")
    rows = list(newest.values_list("entry__listener_id", "handler")[: COUNTED + 1])
    return Counter(rows[:COUNTED]), len(rows) <= COUNTED


def _is_any_left(watched: Watched, handler: str) -> bool:
    dead = Delivery.objects.filter(state=Delivery.State.DEAD, handler=handler)
    return dead.filter(entry__listener=watched.listener).exists()


def _trouble(handler: str, count: int, *, is_all: bool) -> Trouble:
    number = f"{count:,}" if is_all else f"{count:,} or more"
    noun = "delivery" if count == 1 and is_all else "deliveries"
    return Trouble(
        KIND,
        handler,
        f"{number} {noun} to {handler} failed for good.",
        "See their errors under Deliveries (state: dead), fix the cause, and redeliver them there "
        "or with manage.py redeliver_cdc_events --state dead.",
        action="They are kept, but will not be retried automatically.",
        lasts=True,
    )
