"""How a delivery's state moves: each step is one compare-and-swap, and says whether it won."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Case, F, Q, When

#: Clocks of several machines differ: a message for a retry that is due may be a little early.
CLOCK_SKEW = timedelta(seconds=5)
#: Who said that it sends a message has so long for it.
SENDING = timedelta(minutes=1)
OPEN = ("ready", "queued", "running", "retrying")
#: Of a chain, what keeps the others from beginning.
HOLDS_CHAIN = Q(state__in=OPEN) | Q(halts=True)
#: Of a chain, what has not ended, or halts.
IN_CHAIN = HOLDS_CHAIN | Q(state="blocked")
#: Who ends a delivery has it locked, and then wants the next of its chain: so everybody locks what
#: holds a chain before what waits in it. A redelivered one may wait with the lower id.
_LOCK_ORDER = (Case(When(chain="", then=2), When(state="blocked", then=1), default=0), "id")


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

    def locked(self) -> DeliveryQuerySet:
        """These, locked in the one order that there is. Inside the caller's transaction."""
        return self.select_for_update().order_by(*_LOCK_ORDER)

    def hold_chains(self, chains: Collection[str]) -> set[str]:
        """The chains with a delivery that has not ended, or that halts. Locked: who ends one now
        waits for us, and then finds the one that we add behind it. Inside the caller's transaction.

        Where one holds a chain, that one is enough: a chain can be long. While we waited for it, it
        may have ended and another begun.
        """
        wanted = set(chains) - {""}
        held = self._chains_of(HOLDS_CHAIN, wanted)
        return held | self._chains_of(IN_CHAIN, wanted - held)

    def _chains_of(self, condition: Q, chains: set[str]) -> set[str]:
        if not chains:
            return set()
        found = self.filter(condition, chain__in=chains).locked()
        return set(found.values_list("chain", flat=True))

    def mark_queued(self, published: dict[int, int], now: datetime) -> int:
        """Published with this many attempts behind them; whoever has begun meanwhile stays.

        So does what somebody has locked: waited for in no order, many could meet in a deadlock, and
        a second message is harmless. Never inside a transaction.
        """
        waiting = self.filter(pk__in=published, state__in=("ready", "retrying", "queued"))
        with transaction.atomic(durable=True):
            free = waiting.select_for_update(skip_locked=True).values_list("pk", "attempts")
            ids = [pk for pk, attempts in free if published[pk] == attempts]
            return self.filter(pk__in=ids).update(state="queued", queued_at=now)

    def claim_sending(self, ids: Collection[int], now: datetime) -> list[int]:
        """Of these, what is ready for a task that runs elsewhere, and nobody else is sending: that
        task cannot tell that a message came twice. Never inside a transaction."""
        if not ids:
            return []
        unclaimed = Q(queued_at=None) | Q(queued_at__lt=now - SENDING)
        ready = self.filter(unclaimed, pk__in=ids, state="ready", is_external=True)
        with transaction.atomic(durable=True):
            won = list(ready.select_for_update(skip_locked=True).values_list("pk", flat=True))
            self.filter(pk__in=won).update(queued_at=now)
        return won

    def let_go(self, ids: Collection[int]) -> None:
        """They were not sent after all. Never inside a transaction."""
        self.filter(pk__in=ids, state="ready").update(queued_at=None)

    def mark_sent(self, ids: Collection[int], now: datetime) -> None:
        """Never inside a transaction."""
        if not ids:
            return
        with transaction.atomic(durable=True):
            ready = self.filter(pk__in=ids, state="ready").locked().values_list("pk", flat=True)
            self.filter(pk__in=list(ready)).update(state="sent", queued_at=now, finished_at=now)

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
