"""A preview of the recent changes that an unsaved mapping would match.

It uses the code that routes changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from audit.log.masking import Sight
from audit.models import AuditLogEntry
from console.designer.counts import newest
from console.labels import change_type_label
from handlers.models import HandlerMapping
from handlers.routing import router
from handlers.routing.router import Miss
from handlers.routing.saves import Save, Saves, entries_of_saves, needing_saves, saves_among
from handlers.rules import conditions
from listeners.models import Listener

LOOKED_AT = 500
#: The most changes listed of each pile.
LISTED = 50
#: The most fields named of an entry.
NAMED = 6

_UNSEEN = "the condition uses a value that you may not see"
#: Why a gap event may not match; a gap event that is delivered as it is can match.
_GAPS: dict[str, str] = {
    Listener.GapPolicy.FETCH: "a gap event, unknown until the record is read",
    Listener.GapPolicy.RECORD: "a gap event, which this listener records only",
}
_OPEN = (_UNSEEN, _GAPS[Listener.GapPolicy.FETCH])


@dataclass
class Pile:
    """Changes with the same result; `why` gives the reason."""

    why: str = ""
    count: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, entry: AuditLogEntry) -> None:
        self.count += 1
        if self.count <= LISTED:
            self.lines.append(_line(entry))

    @property
    def is_open(self) -> bool:
        """Whether it is unknown if the changes would match."""
        return self.why in _OPEN

    @property
    def more(self) -> int:
        return self.count - len(self.lines)


def _line(entry: AuditLogEntry) -> dict[str, Any]:
    names = list(entry.changed_data if entry.changed_fields is None else entry.changed_fields)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return {
        "entry": entry,
        "change_type": change_type_label(entry.change_type),
        "fields": ", ".join(names[:NAMED]) + more,
    }


@dataclass(frozen=True)
class Preview:
    mapping: HandlerMapping
    looked_at: int
    matching: Pile
    #: Changes that do not match, by reason.
    others: Sequence[Pile]
    #: Whether the mapping has no handler or task yet.
    is_recorded_only: bool

    @property
    def summary(self) -> str:
        if not self.looked_at:
            return "No changes recorded yet, so there is nothing to preview."
        would = "would be recorded only" if self.is_recorded_only else "would match"
        might = sum(pile.count for pile in self.others if pile.is_open)
        found = f"{self.matching.count} {would}{f', {might} might' if might else ''}."
        if self.looked_at == 1:
            return f"Of 1 recorded change, {found}"
        last = "last " if self.looked_at == LOOKED_AT else ""
        return f"Of the {last}{self.looked_at} recorded changes, {found}"


def preview(mapping: HandlerMapping, see: Sight) -> Preview:
    """At most two queries. The mapping need not be saved; its listener is loaded."""
    is_recorded_only = not (mapping.handler or mapping.task)
    if is_recorded_only:  # so that routing looks for matches all the same
        mapping.task = "-"
    entries = list(_entries(mapping))
    matching, others = Pile(), {why: Pile(why) for why in _ORDER}
    saves = _saves(entries, mapping)
    for entry in entries:
        why = _why_not(entry, mapping, saves.get(entry.pk), see)
        pile = others.setdefault(why, Pile(why)) if why else matching
        pile.add(entry)
    piles = [pile for pile in others.values() if pile.count]
    return Preview(mapping, len(entries), matching, piles, is_recorded_only)


_ORDER: tuple[str, ...] = (*_OPEN, Miss.CONDITION, Miss.FIELDS, Miss.ENTITY)


def _saves(entries: Sequence[AuditLogEntry], mapping: HandlerMapping) -> Saves:
    """Return the saves of the entries, also the part of the oldest one that lies before them."""
    if not entries or not needing_saves([mapping]):
        return {}
    oldest = entries[-1].transaction_key
    cut = entries_of_saves([entry for entry in entries if entry.transaction_key == oldest])
    return saves_among([*cut, *entries])


def _why_not(entry: AuditLogEntry, mapping: HandlerMapping, save: Save | None, see: Sight) -> str:
    """Return why the mapping would not match the change; empty if it would."""
    miss = router.miss(entry, mapping, save)
    # Whether a condition matches reveals something of the compared value.
    if miss in (None, Miss.CONDITION) and any(
        see.hides(path, entry) for path in conditions.fields(mapping.condition)
    ):
        return _UNSEEN
    if miss is Miss.GAP:
        if why := _GAPS.get(mapping.listener.gap_policy):
            return why
    elif miss is not None:
        return str(miss)
    [routed] = router.route_with_gaps(entry, [mapping], save)
    return routed.skipped


def _entries(mapping: HandlerMapping) -> Iterator[AuditLogEntry]:
    found: QuerySet[AuditLogEntry] = newest(mapping.listener_id)
    for entry in found[:LOOKED_AT]:
        entry.listener = mapping.listener
        yield entry
