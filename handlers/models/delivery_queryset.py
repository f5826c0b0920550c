"""State changes of deliveries, each one compare-and-swap that reports whether it succeeded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.expressions import RawSQL

from audit.db.prepared import Param, Prepared
from audit.db.rare import values_of_few
from handlers.models.chain_heads import Follower, followers, with_delivery
from handlers.models.mapping import HandlerMapping

#: How much too early a retry may start: a process's reading of the database's clock is slightly
#: old.
EARLY = timedelta(seconds=1)
#: How long a process that claimed an external delivery has to send its message.
SENDING = timedelta(minutes=1)
_WAITING = ("ready", "queued", "retrying")
OPEN = (*_WAITING, "running")
# Not a list of states, which SQLite does not compare with the condition of an index.
_HOLDS = reduce(or_, (Q(state=state) for state in OPEN)) | Q(halts=True)
# Always true, and part of the condition of an index of all that has not ended. A query without it
# cannot take that index: one for a chain's open or blocked delivery would read the whole chain.
_OF_ANY_CHAIN = Q(chain__gte="")
#: Matches the deliveries that keep the others of their chain from starting.
HOLDS_CHAIN = _OF_ANY_CHAIN & _HOLDS
#: Matches the deliveries of a chain that have not ended, or that halt it.
IN_CHAIN = _OF_ANY_CHAIN & (_HOLDS | Q(state="blocked"))
#: Compared in the same statement that swaps the state, so that a pause holds from its commit on.
NOT_PAUSED = ~Exists(HandlerMapping.objects.paused().filter(pk=OuterRef("mapping")))
#: State conditions to combine with ids. They differ from the conditions of the partial indexes on
#: purpose: PostgreSQL would scan such an index with all rows that left it since the last vacuum.
#: No state is an empty text.
_IS_BLOCKED, _IS_RUNNING = Q(state__in=("blocked", "")), Q(state__in=("running", ""))
_AWAITS_REPORT_BY_ID = Q(is_tracked=True, state__in=("queued", "running", ""))
#: Matches the tracked deliveries whose task was sent and has not been reported as ended. Their
#: `attempts` include that attempt, also while they are queued.
AWAITS_REPORT = Q(is_tracked=True, state__in=("queued", "running"))
#: A worker that ends a delivery has locked it and then locks the next one of its chain. To avoid
#: deadlocks, all code locks the delivery that holds a chain before the ones that wait in it. A
#: redelivered one may wait with a lower id.
_LOCK_ORDER = (Case(When(chain="", then=2), When(state="blocked", then=1), default=0), "id")
#: Finds a delivery of the chain `c.value`.
_OF_CHAIN = Prepared(
    lambda: (
        DeliveryQuerySet(apps.get_model("handlers", "Delivery"))
        .filter(IN_CHAIN, chain=RawSQL("c.value", ()))
        .order_by()
        .values_list("pk")[:1]
    )
)
_RUNNING = Prepared(
    lambda: (
        DeliveryQuerySet(apps.get_model("handlers", "Delivery"))
        .filter(_IS_RUNNING | Q(state="queued", is_tracked=True), pk__among=Param("ids"))
        .locked()
        .values_list("pk", "attempts")
    )
)


def may_be_sent(now: datetime) -> Q:
    """Return the condition for open deliveries that an external task may have already: it was sent
    and not reported, or is being sent."""
    return AWAITS_REPORT | Q(is_external=True, is_tracked=False, queued_at__gte=now - SENDING)


class DeliveryQuerySet(models.QuerySet[Any]):
    def ready(self) -> DeliveryQuerySet:
        return self.filter(state="ready", paused=False)

    def unpublished(self, before: datetime | Param) -> DeliveryQuerySet:
        """Filter the ready deliveries that were created before that time."""
        return self.ready().filter(created_at__lt=before)

    def retry_due(self, now: datetime | Param) -> DeliveryQuerySet:
        return self.filter(state="retrying", paused=False, due_at__lte=now)

    def of_listener(self, listener_id: int, *, few: bool) -> DeliveryQuerySet:
        """Filter by listener. `few` says that another condition leaves few rows, and then the
        mappings narrow them further.

        Without `few`, the listener's id is compared as a range of one, so that PostgreSQL reads in
        the order of the entries' index; for an equality it may read the whole primary key.
        """
        if not few:
            return self.filter(
                entry__listener_id__gte=listener_id, entry__listener_id__lte=listener_id
            )
        mappings = HandlerMapping.with_deleted.filter(listener=listener_id).order_by()
        mapping_ids = list(mappings.values_list("pk", flat=True))
        return self.filter(mapping__in=mapping_ids, entry__listener_id=listener_id)

    def queued_before(self, moment: datetime) -> DeliveryQuerySet:
        """Filter published deliveries that no worker has started. Tracked ones are left out: their
        workers cannot recognise a duplicate."""
        return self.filter(state="queued", queued_at__lt=moment, is_tracked=False)

    def overdue(self, now: datetime) -> DeliveryQuerySet:
        """Filter runs that their worker has not ended by the claim's deadline."""
        return self.filter(state="running", claim_deadline__lt=now, is_tracked=False)

    def unreported(self, now: datetime) -> DeliveryQuerySet:
        """Filter tracked deliveries whose task's end was not reported by its deadline."""
        return self.filter(AWAITS_REPORT, claim_deadline__lt=now)

    def sendable(self, ids: Collection[int], due_by: datetime) -> DeliveryQuerySet:
        """Filter the tracked deliveries among `ids` whose task is to be sent."""
        is_due = Q(state__in=("retrying", ""), due_at__lte=due_by)
        is_next = Q(state__in=("ready", "")) | is_due
        return self.filter(is_next, NOT_PAUSED, pk__in=ids, is_tracked=True)

    def awaiting_report(self, ids: Param) -> DeliveryQuerySet:
        """Filter the tracked deliveries among `ids` whose task was sent and not reported."""
        return self.filter(_AWAITS_REPORT_BY_ID, pk__among=ids)

    def in_state(self, state: str) -> DeliveryQuerySet:
        """Filter by state, for a page of deliveries. If few have a state of those that have not
        ended, their ids are looked up first (`audit.db.rare`)."""
        found = self.filter(state=state)
        if state not in self.model.UNENDED:
            return found
        ids = values_of_few(self.model._default_manager.filter(state=state), "pk")
        return found if ids is None else found.filter(pk__in=ids)

    def counts(self) -> dict[str, int]:
        return dict(self.order_by().values_list("state").annotate(models.Count("id")))

    def locked(self) -> DeliveryQuerySet:
        """Lock the rows in `_LOCK_ORDER`. Inside the caller's transaction."""
        return self.select_for_update().order_by(*_LOCK_ORDER)

    def update_unlocked(self, **changes: Any) -> int:
        """Update the rows that no other transaction has locked; return how many. Inside the
        caller's transaction.

        Waiting for locks in no fixed order could deadlock. A later call finds the other rows.
        """
        free = self.order_by().select_for_update(skip_locked=True, of=("self",))
        ids = list(free.values_list("pk", flat=True))
        updated: int = self.model._default_manager.filter(pk__in=ids).update(**changes)
        return updated

    def lock_occupied_chains(self, chains: Collection[str]) -> set[str]:
        """Return the chains that have a delivery that has not ended or that halts.

        Locks the chain heads, so that a worker that finishes one waits for this commit and then
        sees the delivery added behind it. Inside the caller's transaction.

        Only the delivery that holds a chain is locked, since a chain can be long. It may end, and
        the next one start, while this transaction waits for its lock. A caller that has locked the
        listener's position need not look for new chains: no other process starts one.
        """
        found = with_delivery(set(chains) - {""}, _OF_CHAIN)
        held = self._chains_of(HOLDS_CHAIN, found)
        return held | self._chains_of(IN_CHAIN, found - held)

    def _chains_of(self, condition: Q, chains: set[str]) -> set[str]:
        if not chains:
            return set()
        rows = self.filter(condition, chain__among=chains).locked()
        return set(rows.values_list("chain", flat=True))

    def mark_queued(self, sent: Mapping[int, Collection[int]], now: datetime) -> int:
        """Mark published deliveries as queued and return their number.

        `sent` has their ids by the number of attempts at publishing. Deliveries that have started
        or were set aside since are left unchanged, because a worker has received their message.
        Locked rows are skipped: waiting for them in no fixed order could deadlock, and a second
        message is harmless. Never inside a transaction.
        """
        marked = 0
        with transaction.atomic(durable=True):
            for attempts, ids in sent.items():
                waiting = self.filter(
                    pk__in=ids,
                    state__in=_WAITING,
                    attempts=attempts,
                    paused=False,
                    is_tracked=False,
                )
                free = waiting.select_for_update(skip_locked=True).values("pk")
                marked += self.filter(pk__in=free).update(state="queued", queued_at=now)
        return marked

    def unmark_queued(self, ids: Collection[int]) -> None:
        """Make the queued deliveries of an abandoned message ready for the relay. Never inside a
        transaction."""
        with transaction.atomic(durable=True):
            queued = self.filter(pk__in=ids, state="queued", paused=False, is_tracked=False)
            queued.update_unlocked(state="ready", queued_at=None)

    def set_aside(self, ids: Collection[int]) -> int:
        """Set aside the waiting deliveries of paused mappings among `ids`, queued ones as ready.
        Return their number. Never inside a transaction."""
        waiting = self.filter(
            ~AWAITS_REPORT, pk__in=ids, state__in=_WAITING, mapping__paused_at__isnull=False
        )
        unqueued = Case(When(state="queued", then=Value("ready")), default=F("state"))
        with transaction.atomic(durable=True):
            return waiting.update_unlocked(paused=True, queued_at=None, state=unqueued)

    def claim_sending(self, ids: Collection[int], now: datetime) -> list[int]:
        """Claim the ready external deliveries among `ids`; return their ids. Never inside a
        transaction. The claim matters because an external task cannot recognise a duplicate."""
        if not ids:
            return []
        unclaimed = Q(queued_at=None) | Q(queued_at__lt=now - SENDING)
        ready = self.filter(
            unclaimed, NOT_PAUSED, pk__in=ids, state="ready", is_external=True, is_tracked=False
        )
        with transaction.atomic(durable=True):
            won = list(ready.select_for_update(skip_locked=True).values_list("pk", flat=True))
            self.filter(pk__in=won).update(queued_at=now)
        return won

    def being_sent(self, ids: Collection[int]) -> DeliveryQuerySet:
        """Filter the deliveries among `ids` that `claim_sending` has claimed."""
        claimed = Q(state="ready", is_tracked=False, queued_at__isnull=False)
        return self.filter(claimed, pk__in=ids)

    def renew_sending(self, ids: Collection[int], claimed_at: datetime, now: datetime) -> list[int]:
        """Renew the claims of `claimed_at` that no other process has taken over; return their ids.
        Never inside a transaction."""
        if not ids:
            return []
        with transaction.atomic(durable=True):
            ours = self.being_sent(ids).filter(queued_at=claimed_at)
            held = list(ours.locked().values_list("pk", flat=True))
            self.filter(pk__in=held).update(queued_at=now)
        return held

    def release_sending(self, ids: Collection[int], claimed_at: datetime) -> None:
        """Release claims of `claimed_at` whose messages were not sent. Never inside a
        transaction."""
        if ids:
            self.being_sent(ids).filter(queued_at=claimed_at).update(queued_at=None)

    def skip_sending(self, reasons: Mapping[int, str], now: datetime) -> None:
        """Skip claimed deliveries, with the reason for each id. Never inside a transaction."""
        for pk, reason in reasons.items():
            self.being_sent([pk]).update(
                state="skipped", error=reason, queued_at=None, finished_at=now
            )

    def mark_sent(self, ids: Collection[int], now: datetime) -> None:
        """Mark external deliveries as sent. Never inside a transaction."""
        if not ids:
            return
        with transaction.atomic(durable=True):
            claimed = self.being_sent(ids).locked().values_list("pk", flat=True)
            self.filter(pk__in=list(claimed)).update(state="sent", queued_at=now, finished_at=now)

    def claimable(self, due_by: datetime | Param) -> DeliveryQuerySet:
        is_due = Q(state="retrying", due_at__lte=due_by)
        return self.filter(Q(state__in=("ready", "queued")) | is_due, NOT_PAUSED, is_tracked=False)

    def give_back(self, held: Mapping[int, int], *, paused: bool) -> set[int]:
        """Give back unused claims, by delivery id and attempt, which then do not count; return the
        ids of those that held. `paused` sets them aside. Never inside a transaction."""
        with transaction.atomic(durable=True):
            unused = self.running(held)
            self.filter(pk__in=unused).update(
                state="ready",
                paused=paused,
                attempts=F("attempts") - 1,
                queued_at=None,
                started_at=None,
                claim_deadline=None,
            )
        return unused

    def running(self, held: Mapping[int, int]) -> set[int]:
        """Lock the claims that still hold; return their ids. Inside the caller's transaction."""
        rows = _RUNNING.rows(ids=list(held))
        return {pk for pk, attempts in rows if held[pk] == attempts}

    def settle(self, delivery_id: int, attempt: int, **changes: Any) -> bool:
        """End a run; return False if its claim was lost. Inside the caller's transaction."""
        return bool(
            self.filter(pk=delivery_id, state="running", attempts=attempt).update(
                claim_deadline=None, **changes
            )
        )

    def promote(self, chains: Collection[str]) -> list[Follower]:
        """Unblock and return the next delivery of each chain, which `followers` finds.

        Inside the caller's transaction, which has locked the deliveries that it ended: another
        transaction that adds to the chain waits for that lock, or has committed before.
        """
        # In most chains nothing waits: a prepared query rules them out without planning. It does
        # not look for blocked ones, as other indexes also have these, of all chains.
        found = followers(with_delivery(set(chains) - {""}, _OF_CHAIN))
        if not found:
            return []
        ids = [follower.id for follower in found]
        can_begin = self.filter(_IS_BLOCKED, pk__in=ids, awaits_record=False, awaits_mirror=False)
        return found if can_begin.update(state="ready") else []
