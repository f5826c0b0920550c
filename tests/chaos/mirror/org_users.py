"""The random writes of the org's users and its platform to the mirrored objects."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.chaos.mirror.copies import BY_ENTITY, COMPOUNDS, COPIES, Copy
from tests.chaos.mirror.history import History, Key
from tests.simulator.control_client import ControlClient

_LONG = "A line of a long description that hardly ever changes.\n" * 30
#: More changes than this in one transaction are an overflow; the org is started with it.
OVERFLOW_AFTER = 50
#: Live records that get most of the writes, of each object.
_SHARE_OF_KNOWN = 0.85
_LATEST_SECONDS = 300.0


class OrgUsers:
    """Performs random writes; `done` counts them. `history` records each one after its commit."""

    def __init__(
        self,
        org: ControlClient,
        rng: random.Random,
        known: Mapping[str, list[str]],
        other: Callable[[str], str],
    ) -> None:
        self.history = History()
        self.done: Counter[str] = Counter()
        self._org, self._rng, self._other = org, rng, other
        self._live = {entity: list(ids) for entity, ids in known.items()}
        self._binned: dict[str, list[str]] = {entity: [] for entity in known}
        self._number = 0
        self._acts: dict[Callable[[Copy], None], float] = {
            self.update: 45,
            self.update_many: 8,
            self.update_at_once: 8,
            self.edit_text: 6,
            self.save_as_several_events: 5,
            self.update_without_stamp: 2,
            self.create: 7,
            self.delete: 6,
            self.undelete: 5,
            self.delete_and_undelete: 2,
            self.hard_delete: 1,
            self.merge: 1.5,
            self.commit_late: 4,
            self.gap_update: 4,
            self.gap_create: 1,
            self.gap_delete: 1,
            self.gap_undelete: 1,
            self.overflow: 0.4,
            self.tell_of_overflow: 0.3,
            self.wildcard: 0.2,
        }

    def act(self) -> None:
        """Perform one random act; one that the org refuses is counted as refused."""
        [copy] = self._rng.choices(COPIES, [2, 2, 1])
        [act] = self._rng.choices([*self._acts], [*self._acts.values()])
        try:
            act(copy)
            self.done[act.__name__.replace("_", " ")] += 1
        except (ValueError, IndexError):
            self.done["refused"] += 1

    # ── writes ──────────────────────────────────────────────────────────────────────────────

    def update(self, copy: Copy) -> None:
        self._update(copy, [self._one(copy)], self._values(copy))

    def update_many(self, copy: Copy) -> None:
        number = self._rng.randint(2, 8)
        self._update(copy, self._some(copy, number), self._values(copy))

    def update_at_once(self, copy: Copy) -> None:
        """Save a record several times within a second."""
        record_id = self._one(copy)
        for _ in range(self._rng.randint(2, 4)):
            self._update(copy, [record_id], self._values(copy))

    def edit_text(self, copy: Copy) -> None:
        name = self._long(copy)
        values = {name: f"{_LONG}{self._next()}"}
        self._update(copy, [self._one(copy)], values, diff_fields=[name])

    def save_as_several_events(self, copy: Copy) -> None:
        values = self._values(copy, least=2)
        separate = list(_fields(values))[:1]
        number = self._rng.choice((1, 1, 3))
        self._update(copy, self._some(copy, number), values, separate_fields=separate)

    def update_without_stamp(self, copy: Copy) -> None:
        self._update(copy, [self._one(copy)], self._values(copy), is_stamped=False)

    def commit_late(self, copy: Copy) -> None:
        """Commit a long transaction, whose records have times long before they become visible."""
        seconds = self._rng.uniform(2, _LATEST_SECONDS)
        record_id = self._one(copy)
        last = self.history.written_at.get((copy.entity, record_id), 0)
        if self._rng.random() < 0.5:
            self._create(copy, seconds_before_commit=seconds)
        elif time.time() - last / 1000 > seconds + 2:  # a record that it had locked all the time
            change = _change("update", copy, [record_id], self._values(copy))
            self._commit(change, seconds_before_commit=seconds)

    def _update(
        self, copy: Copy, ids: list[str], values: dict[str, Any], **options: Any
    ) -> dict[str, Any]:
        return self._commit({**_change("update", copy, ids, values), **options})

    def create(self, copy: Copy) -> None:
        self._create(copy)

    def _create(self, copy: Copy, **writer: Any) -> None:
        values = self._values(copy, least=len(copy.tracked))
        body = {"op": "create", "entity": copy.entity, "records": [_fields(values)]}
        answer = self._org.change(body, **writer)
        self._note_created(copy, answer, values)

    def _note_created(self, copy: Copy, answer: dict[str, Any], values: dict[str, Any]) -> None:
        at = _commit_time(answer)
        for record_id in answer["record_ids"]:
            self.history.create((copy.entity, record_id), at, values)
            self.history.written_at[copy.entity, record_id] = at
            self._live[copy.entity].append(record_id)

    # ── deletions ───────────────────────────────────────────────────────────────────────────

    def delete(self, copy: Copy) -> None:
        change = _change("delete", copy, [self._one(copy)])
        self._commit({**change, "cascade": self._rng.random() < 0.2})

    def undelete(self, copy: Copy) -> None:
        self._commit(_change("undelete", copy, [self._rng.choice(self._binned[copy.entity])]))

    def delete_and_undelete(self, copy: Copy) -> None:
        record_id = self._one(copy)
        for op in self._rng.choice((["delete", "undelete"], ["delete", "undelete", "delete"])):
            self._commit(_change(op, copy, [record_id]))

    def hard_delete(self, copy: Copy) -> None:
        from_bin = self._rng.random() < 0.3 and bool(self._binned[copy.entity])
        ids = self._binned if from_bin else self._live
        record_id = self._rng.choice(ids[copy.entity])
        self._org.hard_delete(copy.entity, record_id)
        self.history.silent.add((copy.entity, record_id))
        ids[copy.entity].remove(record_id)

    def merge(self, copy: Copy) -> None:
        if copy.entity == "Employee__c":
            return
        kept, *merged = self._some(copy, self._rng.choice((2, 2, 3)))
        change = _change("merge", copy, [], self._values(copy))
        has_events = self._rng.random() < 0.3
        self._commit(
            {**change, "record_id": kept, "merged_ids": merged, "child_events": has_events}, [kept]
        )

    # ── changes without data ────────────────────────────────────────────────────────────────

    def gap_update(self, copy: Copy) -> None:
        self._gap("GAP_UPDATE", copy, self._some(copy, self._rng.choice((1, 1, 3))))

    def gap_create(self, copy: Copy) -> None:
        values = self._values(copy, least=len(copy.tracked))
        change = _change("gap", copy, [], values)
        change |= {"change_type": "GAP_CREATE", "apply": True}
        self._note_created(copy, self._org.change(change), values)

    def gap_delete(self, copy: Copy) -> None:
        self._gap("GAP_DELETE", copy, [self._one(copy)])

    def gap_undelete(self, copy: Copy) -> None:
        self._gap("GAP_UNDELETE", copy, [self._rng.choice(self._binned[copy.entity])])

    def _gap(self, kind: str, copy: Copy, ids: list[str]) -> None:
        values = self._values(copy) if kind == "GAP_UPDATE" else {}
        change = _change("gap", copy, ids, values)
        self._commit({**change, "change_type": kind, "apply": True})

    def overflow(self, copy: Copy) -> None:
        """Write more changes in a transaction than the org sends as events of their own."""
        ids = self._some(copy, OVERFLOW_AFTER + 20)
        values = {record_id: self._values(copy) for record_id in ids}
        changes = [_change("update", copy, [key], own) for key, own in values.items()]
        answer = self._org.change(*changes)
        at = _commit_time(answer)
        for record_id, own in values.items():
            self._note((copy.entity, record_id), at, own)

    def tell_of_overflow(self, copy: Copy) -> None:
        self._org.overflow(copy.entity)

    def wildcard(self, copy: Copy) -> None:
        self._org.wildcard(copy.entity)

    def mark_end(self) -> dict[str, str]:
        """Create a last record of each object; once they are mirrored, everything has arrived."""
        for copy in COPIES:
            self._create(copy)
        return {copy.entity: self._live[copy.entity][-1] for copy in COPIES}

    # ── what all of them need ───────────────────────────────────────────────────────────────

    def _commit(
        self, change: dict[str, Any], ids: list[str] | None = None, **writer: Any
    ) -> dict[str, Any]:
        answer = self._org.change(change, **writer)
        at, entity = _commit_time(answer), str(change["entity"])
        values = _flat(change.get("fields", {}))
        for record_id in change.get("record_ids", []) if ids is None else ids:
            self._note((entity, record_id), at, values)
        for event in answer["events"]:
            self._note_event(event, at)
        return answer

    def _note(self, key: Key, at: int, values: dict[str, Any]) -> None:
        self.history.write(key, at, values)
        self.history.written_at[key] = at

    def _note_event(self, event: dict[str, Any], at: int) -> None:
        """Note an event's deletions and restorations, those of children included."""
        header, entity = event["header"], event["entity"]
        kind = str(header["changeType"]).removeprefix("GAP_")
        for record_id in header["recordIds"] if entity in BY_ENTITY else ():
            key = (entity, record_id)
            self.history.written_at[key] = at
            if kind not in ("DELETE", "UNDELETE"):
                continue
            self.history.move(key, at, is_deleted=kind == "DELETE")
            source, target = self._live, self._binned
            if kind == "UNDELETE":
                source, target = target, source
            if record_id in source[entity]:
                source[entity].remove(record_id)
            target[entity].append(record_id)

    def _one(self, copy: Copy) -> str:
        [record_id] = self._some(copy, 1)
        return record_id

    def _some(self, copy: Copy, number: int) -> list[str]:
        live = self._live[copy.entity]
        if number == 1 and self._rng.random() > _SHARE_OF_KNOWN:
            return [self._other(copy.entity)]
        return self._rng.sample(live, min(number, len(live)))

    def _values(self, copy: Copy, *, least: int = 1) -> dict[str, Any]:
        rng = self._rng
        number = max(least, rng.randint(1, 4))
        names = rng.sample(copy.tracked, min(number, len(copy.tracked)))
        return {name: self._value(copy, name) for name in names}

    def _value(self, copy: Copy, name: str) -> Any:
        if name in copy.clearable and self._rng.random() < 0.15:
            return None
        number = self._next()
        if name == "NumberOfEmployees":
            return number
        if name == "AnnualRevenue":
            return number + 0.5
        return f"{name} {number}"

    def _long(self, copy: Copy) -> str:
        if not copy.long:
            raise ValueError(f"{copy.entity} has no long text")
        return copy.long

    def _next(self) -> int:
        self._number += 1
        return self._number


def _change(
    op: str, copy: Copy, ids: list[str], values: dict[str, Any] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"op": op, "entity": copy.entity}
    if ids:
        found["record_ids"] = ids
    return found if values is None else {**found, "fields": _fields(values)}


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values in the org's form, with the parts of compound fields in objects."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in COMPOUNDS:
            compound, part = COMPOUNDS[name]
            found.setdefault(compound, {})[part] = value
        else:
            found[name] = value
    return found


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    parts = {place: name for name, place in COMPOUNDS.items()}
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            found |= {parts[name, part]: inner for part, inner in value.items()}
        else:
            found[name] = value
    return found


def _commit_time(answer: dict[str, Any]) -> int:
    """Return when the transaction was committed; without an event, the latest possible time."""
    for event in answer["events"]:
        return int(event["header"]["commitTimestamp"])
    return round(time.time() * 1000)
