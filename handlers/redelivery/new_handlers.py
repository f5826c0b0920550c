"""Recorded changes to mappings that came later: those that match now and never had them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.outbox.create import deliver
from handlers.redelivery.request import Counts, Row, Verdict
from handlers.routing.router import ON, route
from handlers.saves import judging, recorded_beside, saves_among
from handlers.sdk import registry

#: An entry and a mapping, by id.
Pair = tuple[int, int]


def counted(entry_ids: Sequence[int], handler: str) -> Counts:
    """How many changes each such mapping would get. `handler`: only those with it, if given."""
    return _counts(_lacking(entry_ids, handler))


def deliver_to(
    entry_ids: Sequence[int], handler: str, redelivery: Redelivery
) -> tuple[Counts, list[int]]:
    """The counts, and the ids to publish. Inside the caller's transaction, which has locked the
    positions of their listeners."""
    lacking = _lacking(entry_ids, handler)
    ready: list[int] = []
    for one in lacking:
        ready += deliver(one.entries, one.mappings, only=one.pairs)
    pairs = {pair for one in lacking for pair in one.pairs}
    _sign(pairs, redelivery)
    return _counts(lacking), ready


@dataclass(frozen=True, slots=True)
class Lacking:
    """Of one listener: its mappings, and which of them lack which of the entries."""

    entries: list[AuditLogEntry]
    mappings: list[HandlerMapping]
    pairs: frozenset[Pair]


def _lacking(entry_ids: Sequence[int], handler: str) -> list[Lacking]:
    # Gaps say that something happened, and not what; what was read of them is an entry of its own.
    entries = AuditLogEntry.objects.filter(pk__in=entry_ids, change_type__in=ON).order_by("id")
    had = set(Delivery.objects.filter(entry__in=entry_ids).values_list("entry_id", "mapping_id"))
    by_listener: dict[int, list[AuditLogEntry]] = {}
    for entry in entries:
        by_listener.setdefault(entry.listener_id, []).append(entry)
    return [_of(listener_id, group, had, handler) for listener_id, group in by_listener.items()]


def _of(listener_id: int, entries: list[AuditLogEntry], had: set[Pair], handler: str) -> Lacking:
    mappings = list(HandlerMapping.objects.filter(listener_id=listener_id))
    wanted = [one for one in mappings if _is_wanted(one, handler)]
    saves = saves_among(recorded_beside(entries)) if judging(wanted) else {}
    pairs = frozenset(
        (entry.pk, routed.mapping.pk)
        for entry in entries
        for routed in route(entry, wanted, saves.get(entry.pk))
        if not routed.skipped and (entry.pk, routed.mapping.pk) not in had
    )
    return Lacking(entries, mappings, pairs)


def _is_wanted(mapping: HandlerMapping, handler: str) -> bool:
    if mapping.handler and registry.find(mapping.handler) is None:
        return False
    return not handler or handler in (mapping.handler, mapping.task)


def _sign(pairs: Iterable[Pair], redelivery: Redelivery) -> None:
    """Note whose wish the new deliveries fulfil."""
    by_mapping: dict[int, list[int]] = {}
    for entry_id, mapping_id in pairs:
        by_mapping.setdefault(mapping_id, []).append(entry_id)
    for mapping_id, entry_ids in by_mapping.items():
        Delivery.objects.filter(mapping_id=mapping_id, entry_id__in=entry_ids).update(
            redelivery=redelivery
        )


def _counts(lacking: Iterable[Lacking]) -> Counts:
    counts: Counts = Counts()
    for one in lacking:
        handler_of = {mapping.pk: mapping.handler or mapping.task for mapping in one.mappings}
        for _, mapping_id in one.pairs:
            counts[Row(handler_of[mapping_id], "", Verdict.FIRST_TIME)] += 1
    return counts
