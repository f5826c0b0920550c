"""Which changes the rows of mirrors lack: not applied yet, failed for good, to be read first, or of
a mirror that is not loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.models.mapping import MIRROR_HANDLER
from handlers.sdk import mirrored

State = Delivery.State
#: A listener's id and a record.
Record = tuple[int, str]
#: States of the mirror's deliveries whose changes its rows may lack.
UNAPPLIED = (*Delivery.UNENDED, State.DEAD)


@dataclass(frozen=True, slots=True)
class Holder:
    """A delivery of the mirror whose change the rows lack: the same change or an earlier one."""

    entry_id: int
    pk: int
    state: str


@dataclass(frozen=True, slots=True)
class Waiting:
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

    @property
    def copied(self) -> mirrored.Copied:
        return self.listener_id, self.entity


_COLUMNS = (
    *("pk", "chain", "entry_id", "entry__listener_id", "entry__entity_name", "entry__record_id"),
    *("entry__commit_timestamp", "mapping__after"),
)


def waiting_for_mirror() -> DeliveryQuerySet:
    """Return the deliveries that wait for a mirror."""
    return Delivery.objects.filter(awaits_mirror=True)


def changes_of(deliveries: DeliveryQuerySet, limit: int | None = None) -> list[Waiting]:
    """Return the deliveries with their changes, in their order."""
    rows = deliveries.order_by("pk").values_list(*_COLUMNS)[:limit]
    return [Waiting(*columns) for columns in rows]


def applied_among(found: Sequence[Waiting]) -> list[Waiting]:
    """Return those whose changes the mirror's rows have, or whose mapping does not wait.

    The deliveries are read before the dirty records: the mirror commits a dirty record before the
    delivery of its change ends.
    """
    held = lacking(found, UNAPPLIED)
    clear = [one for one in loaded_among(found) if not is_behind(one, held)]
    records: dict[mirrored.Copied, set[str]] = defaultdict(set)
    for one in clear:
        records[one.copied].add(one.record_id)
    unread = {
        (*key, record_id)
        for key, ids in records.items()
        for record_id in mirrored.reader.unread(*key, ids)
    }
    is_applied = {
        one.pk for one in clear if (one.listener_id, one.entity, one.record_id) not in unread
    }
    return [one for one in found if not one.after or one.pk in is_applied]


def loaded_among(found: Sequence[Waiting]) -> list[Waiting]:
    """Return those whose mirror's first load has ended. Before, rows are missing, or are those of
    an earlier mirror."""
    unloaded = mirrored.reader.unloaded() if found else {}
    return [one for one in found if one.copied not in unloaded]


def lacking(found: Sequence[Waiting], states: Collection[str]) -> dict[Record, Holder]:
    """Return the mirror's first delivery of each record that is in one of these states."""
    if not found:
        return {}
    rows = Delivery.objects.filter(
        mapping__in=mappings_of_mirrors(),
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


def mappings_of_mirrors() -> list[int]:
    """Return the ids of the mirrors' mappings. A removed mirror holds nothing back."""
    mappings = HandlerMapping.objects.filter(handler=MIRROR_HANDLER, managed=True)
    return list(mappings.order_by().values_list("pk", flat=True))


def is_behind(one: Waiting, held: Mapping[Record, Holder]) -> bool:
    """Return whether the rows lack the change, or an earlier one of its record."""
    holder = held.get(one.record)
    return holder is not None and holder.entry_id <= one.entry_id


def holders_of(delivery_ids: Collection[int]) -> dict[int, tuple[Waiting, Holder | None]]:
    """Return, by id, each of these deliveries that waits for the mirror, and the mirror's first
    delivery that holds it back. Without one, the record is to be read, or the mirror to be loaded.
    Two queries."""
    found = changes_of(waiting_for_mirror().filter(pk__in=list(delivery_ids)))
    held = lacking(found, UNAPPLIED)
    return {one.pk: (one, held[one.record] if is_behind(one, held) else None) for one in found}
