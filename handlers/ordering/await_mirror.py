"""Deliveries that wait until the mirror has applied their change (`after: mirror`).

They keep their place in their chain and are released, once the mirror's first load has ended,

- for their entries, once the mirror has applied the changes, or found that its rows are newer;
- for their records, once the mirror has read these from Salesforce;
- by the relay, and by the worker that ends the first load, where the change was applied before
  that end, where a process died between the rows' commit and the release, where the mirror has no
  delivery of the change, and where their mapping does not wait any more.

A change whose mirror delivery failed for good holds back the later ones of its record too, since
the row lacks it until the delivery is redelivered or the record is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from django.db.models import Exists, F, OuterRef, Q, Subquery

from audit.db.prepared import Param, Prepared
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.ordering.unapplied import (
    UNAPPLIED,
    Waiting,
    applied_among,
    changes_of,
    is_behind,
    lacking,
    loaded_among,
    mappings_of_mirrors,
    waiting_for_mirror,
)
from handlers.sdk import mirrored

State = Delivery.State
#: Deliveries that the relay examines together, and how often in a round.
ROWS = 1000
PAGES = 20
_AWAITED = Prepared(
    lambda: (
        Delivery.objects.filter(awaits_mirror=True, entry__among=Param("entries"))
        .order_by()
        .values_list("pk")[:1]
    )
)


def await_mirror(
    deliveries: Sequence[Delivery],
    entries: Iterable[AuditLogEntry],
    mappings: Iterable[HandlerMapping],
) -> None:
    """Block the new deliveries of mappings that run after the mirror, where there is one."""
    mappings = list(mappings)
    after = {mapping.pk for mapping in mappings if mapping.after}
    if not after:
        return
    objects = {mapping.entity for mapping in mappings if mapping.is_of_mirror}
    mirrored_entries = {entry.pk for entry in entries if entry.entity_name in objects}
    for delivery in deliveries:
        is_to_wait = delivery.mapping_id in after and delivery.entry_id in mirrored_entries
        if is_to_wait and delivery.state != State.SKIPPED:
            delivery.state, delivery.awaits_mirror = State.BLOCKED, True


def block_until_applied(waiting: DeliveryQuerySet) -> int:
    """Block a mapping's waiting deliveries whose changes the mirror has not applied yet; return how
    many.

    Inside the caller's transaction, which has locked the listener's position and saved the mapping.
    """
    found = changes_of(waiting.filter(awaits_mirror=False))
    applied = {one.pk for one in applied_among(found)}
    ids = [one.pk for one in found if one.pk not in applied]
    Delivery.objects.lock_occupied_chains({one.chain for one in found if one.pk not in applied})
    held = list(waiting.filter(pk__in=ids).locked().values_list("pk", flat=True))
    return Delivery.objects.filter(pk__in=held).update(
        state=State.BLOCKED, awaits_mirror=True, due_at=None, queued_at=None, paused=False
    )


def is_awaited(entry_ids: Collection[int]) -> bool:
    """Return whether deliveries of these changes wait for the mirror. One statement, from an index
    that has no other deliveries."""
    return bool(entry_ids) and bool(_AWAITED.rows(entries=list(entry_ids)))


def release_entries(entry_ids: Collection[int]) -> list[int]:
    """Release the deliveries of changes that the mirror's rows have now; return the ids of those
    that can start.

    Inside the caller's transaction. The rows are committed.
    """
    found = loaded_among(changes_of(waiting_for_mirror().filter(entry__in=list(entry_ids))))
    dead = lacking(found, (State.DEAD,))
    return _release([one for one in found if not is_behind(one, dead)])


def release_records(listener_id: int, entity: str, read_to: Mapping[str, int]) -> list[int]:
    """Release the deliveries of records that were read from Salesforce; return the ids of those
    that can start.

    `read_to` has, by record id, the time in milliseconds since 1970 up to which the reading
    contains every committed change. Inside the caller's transaction. The rows are committed.
    """
    waiting = waiting_for_mirror().filter(
        entry__listener_id=listener_id,
        entry__entity_name=entity,
        entry__record_id__in=list(read_to),
    )
    found = loaded_among(changes_of(waiting))
    return _release([one for one in found if one.committed_at <= read_to[one.record_id]])


def release_applied(deliveries: DeliveryQuerySet) -> list[int]:
    """Release those of these deliveries whose changes the mirror has applied already; return the
    ids of those that can start. Inside the caller's transaction."""
    return _release(applied_among(changes_of(deliveries.filter(awaits_mirror=True))))


def overdue(after: int = 0) -> tuple[list[int], int]:
    """Return ids of deliveries that still wait although the mirror has applied their changes, or
    their mapping does not wait any more.

    Examines a limited number of deliveries with ids above `after`, since a million may wait when
    the load of a mirror ends. Returns also the id to continue after: 0 when none are left. Never
    inside a transaction: each statement must see what is committed before it.
    """
    own = Delivery.objects.filter(
        entry=OuterRef("entry"), mapping__in=mappings_of_mirrors(), state__in=UNAPPLIED
    )
    loading = mirrored.reader.unloaded()
    unloaded = Q()
    for listener_id, entity in loading:
        unloaded |= Q(entry__listener_id=listener_id, entry__entity_name=entity)
    free = waiting_for_mirror().filter((~Exists(own) & ~unloaded) | Q(mapping__after=""))
    if left_out := _mappings_of_loads(loading):
        others = HandlerMapping.with_deleted.exclude(pk__in=left_out).order_by()
        # Both conditions for the index by mapping.
        examined = list(others.values_list("pk", flat=True))
        free = free.filter(mapping__in=examined, state=State.BLOCKED)
    ids: list[int] = []
    for _ in range(PAGES):
        found = changes_of(free.filter(pk__gt=after), ROWS)
        ids += [one.pk for one in applied_among(found)]
        if len(found) < ROWS:
            return ids, 0
        after = found[-1].pk
    return ids, after


def _mappings_of_loads(loading: Collection[mirrored.Copied]) -> list[int]:
    """Return the ids of the mappings of one object whose deliveries all wait for its first load: a
    million may wait, and each sweep of the relay would read them in vain.

    A mapping may have deliveries from before its entity was changed; its oldest one is one of them.
    """
    after = HandlerMapping.with_deleted.exclude(after="").order_by()
    rows = after.values_list("pk", "listener_id", "entity") if loading else ()
    ids = [pk for pk, *copied in rows if tuple(copied) in loading]
    waiting = waiting_for_mirror().filter(mapping=OuterRef("pk"), state=State.BLOCKED)
    oldest = Subquery(waiting.order_by("pk").values("entry__entity_name")[:1])
    same = after.filter(pk__in=ids).annotate(oldest=oldest).filter(oldest=F("entity"))
    return list(same.values_list("pk", flat=True))


def release(delivery_ids: Sequence[int]) -> list[int]:
    """Release these deliveries; return the ids of those that can start. Inside the caller's
    transaction."""
    return _release(changes_of(waiting_for_mirror().filter(pk__in=list(delivery_ids))))


def _release(found: Sequence[Waiting]) -> list[int]:
    if not found:
        return []
    chains = {one.chain for one in found} - {""}
    Delivery.objects.lock_occupied_chains(chains)
    held = waiting_for_mirror().filter(pk__in=[one.pk for one in found]).locked()
    rows = list(held.values_list("pk", "chain", "awaits_record"))
    ids = [pk for pk, _, _ in rows]
    Delivery.objects.filter(pk__in=ids).update(awaits_mirror=False)
    unordered = [pk for pk, chain, awaits_record in rows if not chain and not awaits_record]
    Delivery.objects.filter(pk__in=unordered).update(state=State.READY)
    chains |= {chain for _, chain, _ in rows}
    return [*unordered, *(follower.id for follower in Delivery.objects.promote(chains))]
