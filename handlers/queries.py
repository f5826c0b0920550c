"""How a delivery's state moves: each step is one compare-and-swap, and says whether it won."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F, Q

#: Clocks of several machines differ: a message for a retry that is due may be a little early.
CLOCK_SKEW = timedelta(seconds=5)
OPEN = ("ready", "queued", "running", "retrying")
#: Of a chain, what keeps the others from beginning.
HOLDS_CHAIN = Q(state__in=OPEN) | Q(halts=True)


class DeliveryQuerySet(models.QuerySet[Any]):
    def ready(self) -> DeliveryQuerySet:
        return self.filter(state="ready")

    def retry_due(self, now: datetime) -> DeliveryQuerySet:
        return self.filter(state="retrying", due_at__lte=now)

    def queued_before(self, moment: datetime) -> DeliveryQuerySet:
        return self.filter(state="queued", queued_at__lt=moment)

    def overdue(self, now: datetime) -> DeliveryQuerySet:
        """Begun by a worker that has not ended it in time."""
        return self.filter(state="running", claim_deadline__lt=now)

    def counts(self) -> dict[str, int]:
        return dict(self.order_by().values_list("state").annotate(models.Count("id")))

    def mark_queued(self, published: dict[int, int], now: datetime) -> int:
        """Published with this many attempts behind them; whoever has begun meanwhile stays."""
        by_attempts: dict[int, list[int]] = {}
        for delivery_id, attempts in published.items():
            by_attempts.setdefault(attempts, []).append(delivery_id)
        return sum(
            self.filter(
                pk__in=ids, attempts=attempts, state__in=("ready", "retrying", "queued")
            ).update(state="queued", queued_at=now)
            for attempts, ids in by_attempts.items()
        )

    def mark_sent(self, ids: list[int], now: datetime) -> int:
        return self.filter(pk__in=ids, state="ready").update(
            state="sent", queued_at=now, finished_at=now
        )

    def claim(self, delivery_id: int, now: datetime, deadline: datetime) -> int | None:
        """Begin a run; the attempt's number, from 1, or None when there is nothing to run."""
        claimable = Q(state__in=("ready", "queued")) | Q(
            state="retrying", due_at__lte=now + CLOCK_SKEW
        )
        won = self.filter(claimable, pk=delivery_id).update(
            state="running",
            attempts=F("attempts") + 1,
            started_at=now,
            claim_deadline=deadline,
            error="",
        )
        if not won:
            return None
        return int(self.values_list("attempts", flat=True).get(pk=delivery_id))

    def settle(self, delivery_id: int, attempt: int, **changes: Any) -> bool:
        """End a run; False when its claim was lost. Inside the caller's transaction."""
        return bool(
            self.filter(pk=delivery_id, state="running", attempts=attempt).update(
                claim_deadline=None, **changes
            )
        )

    def promote(self, chain: str) -> int | None:
        """Make a chain's next delivery ready; its id. Inside the caller's transaction."""
        promoted = self.promote_all([chain])
        return promoted[0] if promoted else None

    def promote_all(self, chains: Collection[str]) -> list[int]:
        """Make each chain's next delivery ready once none is open or halts, unless it awaits its
        record: then nothing of the chain begins. Inside the caller's transaction."""
        wanted = set(chains) - {""}
        held = set(self.filter(HOLDS_CHAIN, chain__in=wanted).values_list("chain", flat=True))
        following = (
            self.filter(chain__in=wanted - held, state="blocked")
            .order_by()
            .values("chain")
            .annotate(first=models.Min("id"))
            .values_list("first", flat=True)
        )
        can_begin = {"state": "blocked", "awaits_record": False}
        ids = list(
            self.filter(pk__in=following, **can_begin).order_by("id").values_list("id", flat=True)
        )
        return ids if self.filter(pk__in=ids, **can_begin).update(state="ready") else []
