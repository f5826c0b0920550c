"""Drafts: the events of a transaction before they have a replay id."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from simulator.org import deltas
from simulator.org.events import HEADER
from simulator.org.records import JsonObject, Record, iso

WITH_ALL_FIELDS = ("CREATE", "UNDELETE")
#: Texts shorter than this are never sent as diffs.
LEAST_DIFFED = 1_000
MAX_EVENT_CHARACTERS = 1_000_000


@dataclass(slots=True)
class Draft:
    """An event without a replay id."""

    entity: str
    record_ids: list[str]
    change_type: str
    fields: JsonObject = field(default_factory=dict)
    diffs: JsonObject = field(default_factory=dict)
    alone: bool = False
    record: Record | None = None
    texts_before: dict[str, str] = field(default_factory=dict)
    separate: set[str] = field(default_factory=set)
    is_stamped: bool = False

    def hide(self, names: Collection[str]) -> None:
        """Leave out fields that the integration user may not see."""
        self.fields, _ = deltas.divided(self.fields, names)
        self.diffs, _ = deltas.divided(self.diffs, names)

    def sameness(self) -> str:
        """Return a key that is equal for the same change on several records."""
        body = json.dumps([self.entity, self.change_type, self.fields, self.diffs], sort_keys=True)
        return f"{self.record_ids[0]} {body}" if self.alone else body


class Drafts:
    """Collects the events of one transaction."""

    def __init__(self, now: int) -> None:
        self._now = now
        self.all: list[Draft] = []
        self._by_record: dict[tuple[str, str], Draft] = {}

    def note(self, record: Record, change_type: str) -> Draft:
        """Return the draft of a record; several writes give the first type and the final data."""
        key = (record.entity, record.record_id)
        draft = self._by_record.get(key)
        if draft is None:
            draft = Draft(record.entity, [record.record_id], change_type, record=record)
            self._by_record[key] = draft
            self.all.append(draft)
        return draft

    def events(self) -> list[Draft]:
        """Return the events of the transaction: one for the same change on N records, then those of
        fields that are sent separately."""
        separate = [own for draft in self.all for own in self._completed(draft)]
        if len(self.all) == 1:
            return [*self.all, *separate]
        grouped: dict[str, Draft] = {}
        for draft in self.all:
            first = grouped.setdefault(draft.sameness(), draft)
            if first is not draft:
                first.record_ids.extend(draft.record_ids)
        return [*grouped.values(), *separate]

    def _completed(self, draft: Draft) -> list[Draft]:
        """Complete the fields of a draft, and return the event of its separate fields."""
        if draft.record and draft.change_type in WITH_ALL_FIELDS:
            draft.fields = deltas.non_empty(draft.record.fields)
        if draft.change_type != "UPDATE" or draft.alone:
            return []
        for name, before in draft.texts_before.items():
            after = draft.fields.get(name)
            if isinstance(after, str) and min(len(before), len(after)) >= LEAST_DIFFED:
                draft.diffs[name] = deltas.unified_diff(before, after)
        draft.fields, own = deltas.divided(draft.fields, draft.separate)
        if draft.is_stamped:
            draft.fields["LastModifiedDate"] = iso(self._now)
        if not own:
            return []
        draft.diffs, diffs = deltas.divided(draft.diffs, draft.separate)
        return [Draft(draft.entity, list(draft.record_ids), "UPDATE", own, diffs, alone=True)]


def payload_of(draft: Draft, shared: JsonObject) -> JsonObject:
    """Return the payload of a draft; one that is too large becomes a gap event."""
    header: JsonObject = {
        **shared,
        "entityName": draft.entity,
        "changeType": draft.change_type,
        "changedFields": deltas.names(draft.fields) if draft.change_type == "UPDATE" else [],
        "recordIds": draft.record_ids,
    }
    body = {**draft.fields, **draft.diffs}
    if draft.change_type.startswith("GAP_"):
        body = {}
        if draft.change_type != "GAP_OVERFLOW":
            header["changeOrigin"] = ""
    if sum(len(value) for value in body.values() if isinstance(value, str)) > MAX_EVENT_CHARACTERS:
        header |= {"changeType": f"GAP_{draft.change_type}", "changedFields": []}
        return {HEADER: header}
    if draft.change_type == "UPDATE" and (nulled := deltas.nulled(draft.fields)):
        header["nulledFields"] = nulled
    if draft.diffs:
        header["diffFields"] = [name for name in draft.fields if name in draft.diffs]
    return {**body, HEADER: header}
