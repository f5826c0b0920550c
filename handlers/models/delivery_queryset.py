"""How a delivery's state moves: each step is one compare-and-swap, and says whether it won."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now

from audit.db.prepared import Given, Prepared
from handlers.models.chain_heads import Follower, followers
from handlers.models.mapping import HandlerMapping

#: A message for a retry may come a little early: what a process knows of the database's clock is a
#: moment old.
EARLY = timedelta(seconds=1)
#: Who said that it sends a message has so long for it.
SENDING = timedelta(minutes=1)
_WAITING = ("ready", "queued", "retrying")
OPEN = (*_WAITING, "running")
#: Of a chain, what keeps the others from beginning.
HOLDS_CHAIN = Q(state__in=OPEN) | Q(halts=True)
#: Of a chain, what has not ended, or halts.
IN_CHAIN = HOLDS_CHAIN | Q(state="blocked")
#: The mapping says so at this moment: part of what is compared when a state is swapped.
_NOT_PAUSED = ~Exists(HandlerMapping.objects.paused().filter(pk=OuterRef("mapping")))
#: States beside ids: not as the indexes of those states have them. PostgreSQL would read all of
#: one, with what has left it since it was last vacuumed.
_IS_BLOCKED, _IS_RUNNING = Q(state__in=("blocked", "")), Q(state__in=("running", ""))
#: Who ends a delivery has it locked, and then wants the next of its chain: so everybody locks what
#: holds a chain before what waits in it. A redelivered one may wait with the lower id.
_LOCK_ORDER = (Case(When(chain="", then=2), When(state="blocked", then=1), default=0), "id")


_OCCUPIED = Prepared(
    lambda: (
        DeliveryQuerySet(apps.get_model("handlers", "Delivery"))
        .filter(IN_CHAIN, chain__among=Given("chains"))
        .order_by()
        .values_list("chain")
        .distinct()
    )
)


_RUNNING = Prepared(
    lambda: (
        DeliveryQuerySet(apps.get_model("handlers", "Delivery"))
        .filter(_IS_RUNNING, pk__among=Given("ids"))
        .locked()
        .values_list("pk", "attempts")
    )
)


def begun(now: datetime | Given, span: timedelta | Given) -> dict[str, Any]:
    """What a run's beginning changes; its claim ends after `span`, on the database's clock."""
    return {
        "state": "running",
        "paused": False,
        "attempts": F("attempts") + 1,
        "started_at": now,
        "claim_deadline": Now() + span,
        "error": "",
    }


class DeliveryQuerySet(models.QuerySet[Any]):
    def ready(self) -> DeliveryQuerySet:
        return self.filter(state="ready", paused=False)

    def retry_due(self, now: datetime) -> DeliveryQuerySet:
        return self.filter(state="retrying", paused=False, due_at__lte=now)

    def of_listener(self, listener_id: int, *, few: bool) -> DeliveryQuerySet:
        """`few`: beside a condition that finds few of them by mapping, or by an index of its own.
        Else in the order of its entries, a range of one: for an equality PostgreSQL takes the
        primary key to be in that order already, and may read all of it."""
        if not few:
            return self.filter(
                entry__listener_id__gte=listener_id, entry__listener_id__lte=listener_id
            )
        mappings = HandlerMapping.with_deleted.filter(listener=listener_id).order_by()
        mine = list(mappings.values_list("pk", flat=True))
        by_mapping = Q(mapping__in=mine) | Q(mapping=None)
        return self.filter(by_mapping, entry__listener_id=listener_id)

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
        may have ended and another begun. Who holds the listener's position need not look for more
        than there are at first: nobody else begins a chain.
        """
        wanted = set(chains) - {""}
        occupied = {chain for (chain,) in _OCCUPIED.rows(chains=list(wanted))} if wanted else set()
        held = self._chains_of(HOLDS_CHAIN, occupied)
        return held | self._chains_of(IN_CHAIN, occupied - held)

    def _chains_of(self, condition: Q, chains: set[str]) -> set[str]:
        if not chains:
            return set()
        found = self.filter(condition, chain__among=chains).locked()
        return set(found.values_list("chain", flat=True))

    def mark_queued(self, sent: Mapping[int, Collection[int]], now: datetime) -> int:
        """Mark as queued what was published, by the attempts behind it. What has begun meanwhile
        stays as it is, and what was set aside: a worker has had that message.

        So does what somebody has locked: waited for in no order, many could meet in a deadlock, and
        a second message is harmless. Never inside a transaction.
        """
        marked = 0
        with transaction.atomic(durable=True):
            for attempts, ids in sent.items():
                waiting = self.filter(
                    pk__in=ids, state__in=_WAITING, attempts=attempts, paused=False
                )
                free = waiting.select_for_update(skip_locked=True).values("pk")
                marked += self.filter(pk__in=free).update(state="queued", queued_at=now)
        return marked

    def unmark_queued(self, ids: Collection[int]) -> None:
        """Their message was given up: the relay finds them soon, if nobody else does. Never inside
        a transaction."""
        with transaction.atomic(durable=True):
            queued = self.filter(pk__in=ids, state="queued", paused=False)
            free = queued.select_for_update(skip_locked=True).values("pk")
            self.filter(pk__in=free).update(state="ready", queued_at=None)

    def set_aside(self, ids: Collection[int]) -> int:
        """Of these, what waits and whose mapping is paused is left so until it is resumed; what
        was in the broker is ready again. Never inside a transaction."""
        waiting = self.filter(pk__in=ids, state__in=_WAITING, mapping__paused_at__isnull=False)
        with transaction.atomic(durable=True):
            # As in mark_queued: what somebody has locked is met again.
            free = waiting.select_for_update(skip_locked=True, of=("self",))
            found = list(free.values_list("pk", flat=True))
            return self.filter(pk__in=found).update(
                paused=True,
                queued_at=None,
                state=Case(When(state="queued", then=Value("ready")), default=F("state")),
            )

    def claim_sending(self, ids: Collection[int], now: datetime) -> list[int]:
        """Of these, what is ready for a task that runs elsewhere, and nobody else is sending: that
        task cannot tell that a message came twice. Never inside a transaction."""
        if not ids:
            return []
        unclaimed = Q(queued_at=None) | Q(queued_at__lt=now - SENDING)
        ready = self.filter(unclaimed, _NOT_PAUSED, pk__in=ids, state="ready", is_external=True)
        with transaction.atomic(durable=True):
            won = list(ready.select_for_update(skip_locked=True).values_list("pk", flat=True))
            self.filter(pk__in=won).update(queued_at=now)
        return won

    def let_go(self, ids: Collection[int]) -> None:
        """They were not sent after all. Never inside a transaction."""
        self.filter(pk__in=ids, state="ready").update(queued_at=None)

    def skip_sending(self, reasons: Mapping[int, str], now: datetime) -> None:
        """They are not sent at all. Never inside a transaction."""
        for pk, reason in reasons.items():
            self.filter(pk=pk, state="ready").update(
                state="skipped", error=reason, queued_at=None, finished_at=now
            )

    def mark_sent(self, ids: Collection[int], now: datetime) -> None:
        """Never inside a transaction."""
        if not ids:
            return
        with transaction.atomic(durable=True):
            ready = self.filter(pk__in=ids, state="ready").locked().values_list("pk", flat=True)
            self.filter(pk__in=list(ready)).update(state="sent", queued_at=now, finished_at=now)

    def claimable(self, due_by: datetime | Given) -> DeliveryQuerySet:
        is_due = Q(state="retrying", due_at__lte=due_by)
        return self.filter(Q(state__in=("ready", "queued")) | is_due, _NOT_PAUSED)

    def give_back(self, held: Mapping[int, int], *, paused: bool) -> None:
        """Claims, by the attempts that they are, that nothing was done with: they count as no
        attempt. `paused`: because their mapping is. Never inside a transaction."""
        with transaction.atomic(durable=True):
            mine = self.running(held)
            self.filter(pk__in=mine).update(
                state="ready",
                paused=paused,
                attempts=F("attempts") - 1,
                queued_at=None,
                started_at=None,
                claim_deadline=None,
            )

    def running(self, held: Mapping[int, int]) -> set[int]:
        """Of these claims, those that nobody took, locked. Inside the caller's transaction."""
        found = _RUNNING.rows(ids=list(held))
        return {pk for pk, attempts in found if held[pk] == attempts}

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
        return promoted[0].id if promoted else None

    def promote_all(self, chains: Collection[str]) -> list[Follower]:
        """Make each chain's next delivery ready once none is open or halts, unless it awaits its
        record: then nothing of the chain begins. Inside the caller's transaction, which has locked
        what it ended: who adds to a chain waits for that, or has added before."""
        found = followers(set(chains) - {""})
        if not found:
            return []
        ids = [one.id for one in found]
        can_begin = self.filter(_IS_BLOCKED, pk__in=ids, awaits_record=False)
        return found if can_begin.update(state="ready") else []
