"""Redeliver recorded changes to mappings that match them now and have no delivery of them yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.ordering.await_mirror import release_applied
from handlers.outbox.create import deliver
from handlers.redelivery.request import Counts, Row, Verdict
from handlers.routing.router import ON, route
from handlers.routing.saves import entries_of_saves, needing_saves, saves_among
from handlers.sdk import registry

#: An entry and a mapping, by id.
Pair = tuple[int, int]


def counted(entry_ids: Sequence[int], handler: str) -> Counts:
    """Return how many deliveries the mappings would get, by handler.

    A `handler` limits them to mappings with this handler or task.
    """
    return _counts(_lacking(entry_ids, handler))


def deliver_to(
    entry_ids: Sequence[int], handler: str, redelivery: Redelivery
) -> tuple[Counts, list[int]]:
    """Create the missing deliveries; return their counts, and the ids to publish.

    Inside the caller's transaction, which has locked the positions of the entries' listeners.
    """
    lacking = _lacking(entry_ids, handler)
    ready: list[int] = []
    for group in lacking:
        ready += deliver(group.entries, group.mappings, only=group.pairs)
    pairs = {pair for group in lacking for pair in group.pairs}
    # The mirror may have applied these changes long ago.
    ready += release_applied(Delivery.objects.filter(entry__in=entry_ids))
    _set_redelivery(pairs, redelivery)
    return _counts(lacking), ready


@dataclass(frozen=True, slots=True)
class Lacking:
    """The entries and mappings of one listener, and the pairs that have no delivery."""

    entries: list[AuditLogEntry]
    mappings: list[HandlerMapping]
    pairs: frozenset[Pair]


def _lacking(entry_ids: Sequence[int], handler: str) -> list[Lacking]:
    # Gap entries have no values; the values read over REST are entries of their own.
    entries = AuditLogEntry.objects.filter(pk__in=entry_ids, change_type__in=ON).order_by("id")
    had = set(Delivery.objects.filter(entry__in=entry_ids).values_list("entry_id", "mapping_id"))
    by_listener: dict[int, list[AuditLogEntry]] = {}
    for entry in entries:
        by_listener.setdefault(entry.listener_id, []).append(entry)
    return [
        _lacking_of_listener(listener_id, group, had, handler)
        for listener_id, group in by_listener.items()
    ]


def _lacking_of_listener(
    listener_id: int, entries: list[AuditLogEntry], had: set[Pair], handler: str
) -> Lacking:
    mappings = list(HandlerMapping.objects.filter(listener_id=listener_id))
    wanted = [mapping for mapping in mappings if _is_wanted(mapping, handler)]
    saves = saves_among(entries_of_saves(entries)) if needing_saves(wanted) else {}
    pairs = frozenset(
        (entry.pk, routed.mapping.pk)
        for entry in entries
        for routed in route(entry, wanted, saves.get(entry.pk))
        if not routed.skipped and (entry.pk, routed.mapping.pk) not in had
    )
    return Lacking(entries, mappings, pairs)


def _is_wanted(mapping: HandlerMapping, handler: str) -> bool:
    if mapping.managed:  # a mirror has loaded what changed before it was added
        return False
    if mapping.handler and registry.find(mapping.handler) is None:
        return False
    return not handler or handler in (mapping.handler, mapping.task)


def _set_redelivery(pairs: Iterable[Pair], redelivery: Redelivery) -> None:
    """Link the new deliveries to the redelivery that created them."""
    by_mapping: dict[int, list[int]] = {}
    for entry_id, mapping_id in pairs:
        by_mapping.setdefault(mapping_id, []).append(entry_id)
    for mapping_id, entry_ids in by_mapping.items():
        Delivery.objects.filter(mapping_id=mapping_id, entry_id__in=entry_ids).update(
            redelivery=redelivery
        )


def _counts(lacking: Iterable[Lacking]) -> Counts:
    counts: Counts = Counts()
    for group in lacking:
        handler_of = {mapping.pk: mapping.handler or mapping.task for mapping in group.mappings}
        for _, mapping_id in group.pairs:
            counts[Row(handler_of[mapping_id], "", Verdict.FIRST_TIME)] += 1
    return counts
