"""Deliveries that wait until the mirror has applied their change (`after: mirror`).

They keep their place in their chain and are released

- for their entries, once the mirror has applied the changes, or found that its rows are newer;
- for their records, once the mirror has read these from Salesforce;
- by the relay, where a process died between the rows' commit and the release, where the mirror has
  no delivery of the change, and where their mapping does not wait any more.

A change whose mirror delivery failed for good holds back the later ones of its record too, since
the row lacks it until the delivery is redelivered or the record is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from django.db.models import Exists, OuterRef, Q

from audit.db.prepared import Param, Prepared
from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.models.mapping import MIRROR_HANDLER
from handlers.sdk import mirrored

log = structlog.get_logger(__name__)

State = Delivery.State
#: A listener's id and a record.
Record = tuple[int, str]
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
#: The mirror's deliveries whose changes its rows may lack.
_UNAPPLIED = (*Delivery.UNENDED, State.DEAD)


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


def hold(waiting: DeliveryQuerySet) -> int:
    """Make those of a mapping's waiting deliveries wait for the mirror whose changes it has not
    applied yet; return how many.

    Inside the caller's transaction, which has locked the listener's position and saved the mapping.
    """
    found = _found(waiting.filter(awaits_mirror=False))
    applied = {one.pk for one in _applied(found)}
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
    found = _found(_waiting().filter(entry__in=list(entry_ids)))
    dead = _lacking(found, (State.DEAD,))
    return _release([one for one in found if not _is_behind(one, dead)])


def release_records(listener_id: int, entity: str, read_to: Mapping[str, int]) -> list[int]:
    """Release the deliveries of records that were read from Salesforce; return the ids of those
    that can start.

    `read_to` has, by record id, the time in milliseconds since 1970 up to which the reading
    contains every committed change. Inside the caller's transaction. The rows are committed.
    """
    waiting = _waiting().filter(
        entry__listener_id=listener_id,
        entry__entity_name=entity,
        entry__record_id__in=list(read_to),
    )
    found = _found(waiting)
    return _release([one for one in found if one.committed_at <= read_to[one.record_id]])


def release_applied(deliveries: DeliveryQuerySet) -> list[int]:
    """Release those of these deliveries whose changes the mirror has applied already; return the
    ids of those that can start. Inside the caller's transaction."""
    return _release(_applied(_found(deliveries.filter(awaits_mirror=True))))


def overdue(after: int = 0) -> tuple[list[int], int]:
    """Return ids of deliveries that still wait although the mirror has applied their changes, or
    their mapping does not wait any more.

    Examines a limited number of deliveries with ids above `after`, since a million may wait while
    a mirror is loaded. Returns also the id to continue after: 0 when none are left. Never inside a
    transaction: each statement must see what is committed before it.
    """
    own = Delivery.objects.filter(
        entry=OuterRef("entry"), mapping__in=_of_mirrors(), state__in=_UNAPPLIED
    )
    free = _waiting().filter(~Exists(own) | Q(mapping__after=""))
    ids: list[int] = []
    for _ in range(PAGES):
        found = _found(free.filter(pk__gt=after), ROWS)
        ids += [one.pk for one in _applied(found)]
        if len(found) < ROWS:
            return ids, 0
        after = found[-1].pk
    return ids, after


def release(delivery_ids: Sequence[int]) -> list[int]:
    """Release these deliveries; return the ids of those that can start. Inside the caller's
    transaction."""
    return _release(_found(_waiting().filter(pk__in=list(delivery_ids))))


@dataclass(frozen=True, slots=True)
class Holder:
    """A delivery of the mirror whose change the rows lack: the same change or an earlier one."""

    entry_id: int
    pk: int
    state: str


def holders_of(delivery_ids: Collection[int]) -> dict[int, tuple[str, Holder | None]]:
    """Return, by id, the entity of each of these deliveries that waits for the mirror, and the
    mirror's first delivery that holds it back. Without one, the record is to be read. Two queries.
    """
    found = _found(_waiting().filter(pk__in=list(delivery_ids)))
    lacking = _lacking(found, _UNAPPLIED)
    return {
        one.pk: (one.entity, lacking[one.record] if _is_behind(one, lacking) else None)
        for one in found
    }


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A delivery that waits for the mirror, its change, and the `after` of its mapping."""

    pk: int
    chain: str
    entry_id: int
    listener_id: int
    entity: str
    record_id: str
    committed_at: int
    after: str

    @property
    def record(self) -> Record:
        return self.listener_id, self.record_id


_COLUMNS = (
    *("pk", "chain", "entry_id", "entry__listener_id", "entry__entity_name", "entry__record_id"),
    *("entry__commit_timestamp", "mapping__after"),
)


def _waiting() -> DeliveryQuerySet:
    return Delivery.objects.filter(awaits_mirror=True)


def _found(waiting: DeliveryQuerySet, limit: int | None = None) -> list[_Waiting]:
    rows = waiting.order_by("pk").values_list(*_COLUMNS)[:limit]
    return [_Waiting(*columns) for columns in rows]


def _applied(found: Sequence[_Waiting]) -> list[_Waiting]:
    """Return those whose changes the mirror's rows have, or whose mapping does not wait.

    The deliveries are read before the dirty records: the mirror commits a dirty record before the
    delivery of its change ends.
    """
    lacking = _lacking(found, _UNAPPLIED)
    clear = [one for one in found if not _is_behind(one, lacking)]
    records: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in clear:
        records[one.listener_id, one.entity].add(one.record_id)
    unread = {
        (*key, record_id)
        for key, ids in records.items()
        for record_id in mirrored.reader.unread(*key, ids)
    }
    is_applied = {
        one.pk for one in clear if (one.listener_id, one.entity, one.record_id) not in unread
    }
    return [one for one in found if not one.after or one.pk in is_applied]


def _lacking(found: Sequence[_Waiting], states: Collection[str]) -> dict[Record, Holder]:
    """Return the mirror's first delivery of each record that is in one of these states."""
    if not found:
        return {}
    rows = Delivery.objects.filter(
        mapping__in=_of_mirrors(),
        state__in=states,
        entry__record_id__in={one.record_id for one in found},
    )
    columns = ("entry__listener_id", "entry__record_id", "entry_id", "pk", "state")
    first: dict[Record, Holder] = {}
    for listener_id, record_id, *columns_of_holder in rows.order_by("-entry_id").values_list(
        *columns
    ):
        first[listener_id, record_id] = Holder(*columns_of_holder)
    return first


def _of_mirrors() -> list[int]:
    """Return the ids of the mirrors' mappings. A removed mirror holds nothing back."""
    mappings = HandlerMapping.objects.filter(handler=MIRROR_HANDLER, managed=True)
    return list(mappings.order_by().values_list("pk", flat=True))


def _is_behind(one: _Waiting, lacking: Mapping[Record, Holder]) -> bool:
    """Return whether the rows lack the change, or an earlier one of its record."""
    holder = lacking.get(one.record)
    return holder is not None and holder.entry_id <= one.entry_id


def _release(found: Sequence[_Waiting]) -> list[int]:
    if not found:
        return []
    chains = {one.chain for one in found} - {""}
    Delivery.objects.lock_occupied_chains(chains)
    held = _waiting().filter(pk__in=[one.pk for one in found]).locked()
    rows = list(held.values_list("pk", "chain", "awaits_record"))
    ids = [pk for pk, _, _ in rows]
    Delivery.objects.filter(pk__in=ids).update(awaits_mirror=False)
    unordered = [pk for pk, chain, awaits_record in rows if not chain and not awaits_record]
    Delivery.objects.filter(pk__in=unordered).update(state=State.READY)
    chains |= {chain for _, chain, _ in rows}
    return [*unordered, *(follower.id for follower in Delivery.objects.promote(chains))]
