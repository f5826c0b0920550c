"""Compares the watcher's sights with the org's history: no row may go back, reappear, lose a value,
or be reported in sync while it is not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.chaos.mirror.copies import BY_ENTITY, TEXT, Copy
from tests.chaos.mirror.database import Row, number
from tests.chaos.mirror.history import ANY, DELETED, History, Key, Written
from tests.chaos.mirror.watcher import Seen, Sights, went_back

_ROW = 3  # (version, is_deleted, is_complete, then the tracked fields)


def gone_back(sights: Sights, history: History) -> dict[str, list[str]]:
    """Return the violations by kind."""
    found: dict[str, list[str]] = {
        "went back": [*sights.wrong],
        "reappeared": [],
        "lost or went back to a value": [],
    }
    for key, times in sights.returned.items():
        restored = [at for at, is_deleted in history.moves(key) if not is_deleted and at]
        if len(times) > len(restored):
            found["reappeared"].append(f"{_name(key)}: {len(times)} times")
    for key, seen in sights.rows.items():
        for kind, text in _of_record(key, seen, history):
            found[kind].append(f"{_name(key)}: {text}")
    return found


def _of_record(key: Key, seen: list[Seen], history: History) -> Iterator[tuple[str, str]]:
    copy, places = BY_ENTITY[key[0]], dict[str, int]()
    before: Row | None = None
    for one in seen:
        row, at = one.row, _clock(one.at)
        if row is None:
            if before is not None:
                yield "went back", f"its row vanished at {at}"
            before = None
            continue
        if before is not None and (problem := went_back(before, row)):
            yield "went back", f"{problem} at {at}"
        before = row
        moves = history.moves(key)
        if key not in history.silent:
            place = _place(moves, places.get(DELETED, 0), bool(row[1]))
            if place is None:
                yield "reappeared", f"is_deleted = {bool(row[1])} at {at}; moves: {_told(moves)}"
            else:
                places[DELETED] = place
        if row[1] or not row[2]:
            continue
        for name, value in zip(copy.tracked, row[_ROW:], strict=True):
            written = history.fields.get(key, {}).get(name)
            if written is None:
                continue
            place = _place(written, places.get(name, 0), _plain(copy, name, value))
            if place is None:
                text = (
                    f"{name} = {value!r:.60} at {at}, after {_told(written[places.get(name, 0) :])}"
                )
                yield "lost or went back to a value", text
            else:
                places[name] = place


def _place(written: list[Written], first: int, value: Any) -> int | None:
    """Return the first place, from `first` on, at which the value was written."""
    for place in range(first, len(written)):
        if written[place][1] is ANY or _equal(written[place][1], value):
            return place
    return None


def false_claims(sights: Sights, history: History, unknown: frozenset[Key]) -> list[str]:
    """Return the false claims to be in sync; `unknown` are fields, by object, whose changes the
    user could not see."""
    found = []
    for claim in sights.claims:
        copy = BY_ENTITY[claim.entity]
        for key, seen in sights.rows.items():
            if key[0] != claim.entity or key in history.silent:
                continue
            place = bisect_right(seen, claim.look, key=lambda one: one.look) - 1
            row = seen[place].row if place >= 0 else None
            if problem := _lacks(copy, key, row, claim.as_of, history, unknown):
                found.append(f"{_name(key)} at {_clock(claim.as_of)}: {problem}")
    return found


def _lacks(
    copy: Copy, key: Key, row: Row | None, as_of: float, history: History, unknown: frozenset[Key]
) -> str:
    """Return what a row lacks of the writes committed by `as_of`, or an empty text."""
    moves = history.moves(key)
    if not _has(moves, bool(row is None or row[1]), as_of):
        return "it has no live row" if row is None else f"is_deleted = {bool(row[1])}"
    if row is None or row[1]:
        return ""
    if not row[2]:
        return "its row is not complete"
    for name, value in zip(copy.tracked, row[_ROW:], strict=True):
        written = history.fields.get(key, {}).get(name)
        if written is None or (copy.entity, name) in unknown:
            continue
        if not _has(written, _plain(copy, name, value), as_of):
            return f"{name} = {value!r:.60}, after {_told(written)}"
    return ""


def _has(written: list[Written], value: Any, as_of: float) -> bool:
    """Return whether the value is the last one written by `as_of`, or a later one."""
    last = max((place for place, (at, _) in enumerate(written) if at <= as_of), default=None)
    if last is None:  # created later
        return True
    return _place(written, last, value) is not None


def _plain(copy: Copy, name: str, value: Any) -> Any:
    return value if copy.columns[name][1] == TEXT else number(value)


def _equal(written: Any, value: Any) -> bool:
    if isinstance(written, int | float) and not isinstance(written, bool):
        return bool(number(written) == value)
    return bool(written == value)


def _told(written: list[Written]) -> str:
    """Return the last writes as text for a reader."""
    return "; ".join(
        f"{_clock(at)} {'?' if value is ANY else repr(value)[-40:]}" for at, value in written[-6:]
    )


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def _clock(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%H:%M:%S.%f}"[:-3]
