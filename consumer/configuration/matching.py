"""Match a listener's handlers in the file with its stored mappings.

A mapping keeps its row, and the deliveries that refer to it, when its handler, fields or options
change. Each step matches what the steps before it have left:

1. by name
2. where nothing but the name differs
3. by handler or task, among those with the same `on` and `entity`; of several, those that are
   clearly the most alike
4. by position, among those with the same `on` and `entity`

Where step 3 or 4 leaves more than one possibility, the file is refused: a wrong match would send
waiting deliveries elsewhere, or skip those of the wrong mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problems
from consumer.configuration.schema import DESTINATION_KEY, HANDLER
from handlers.models import HandlerMapping
from listeners.models.connection_rules import default_of
from listeners.values import is_same

Kind = tuple[str, str]
#: The keys that identify a mapping. If one of them is invalid, nothing is matched by position.
_IDENTITY = ("name", "on", "entity", "handler", "task")


def value_of(item: Item, field_name: str) -> str:
    """Return the value in the file, or the field's default."""
    return str(item.values.get(field_name, default_of(HandlerMapping, field_name)))


def target_of(item: Item) -> tuple[str, str]:
    return value_of(item, "handler"), value_of(item, "task")


@dataclass
class Matching:
    """The items of the file with their stored mappings.

    left    stored mappings without an item, in the order of their ids
    found   the mapping of each matched item, by the item's place in the file
    new     the places of items that are new mappings, because of their names
    """

    items: Sequence[Item]
    left: list[HandlerMapping]
    found: dict[int, HandlerMapping] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)

    def pair(self, place: int, mapping: HandlerMapping) -> None:
        self.found[place] = mapping
        self.left.remove(mapping)

    def unmatched(self) -> list[int]:
        matched = self.found.keys() | self.new
        return [place for place in range(len(self.items)) if place not in matched]


@dataclass(frozen=True)
class _Pair:
    """An item and a stored mapping with the same handler, and the keys that differ, but `name`."""

    place: int
    item: Item
    mapping: HandlerMapping
    differing: frozenset[str]


def match(items: Sequence[Item], stored: Sequence[HandlerMapping], problems: Problems) -> Matching:
    """Match items with stored mappings. Ambiguous matches are added to `problems`."""
    matching = Matching(items, list(stored))
    _pair(matching, lambda item, one: bool(one.name) and one.name == value_of(item, "name"))
    # Of equal ones those that run, since the others may be removed with what waits.
    matching.left.sort(key=lambda one: one.paused_at is not None)
    _pair(matching, lambda item, one: one.name == value_of(item, "name") and _is_equal(item, one))
    _pair(matching, _is_equal)
    matching.left.sort(key=lambda one: one.pk)
    is_clear = _by_handler(matching, problems)
    if is_clear and not any(item.refused_keys.intersection(_IDENTITY) for item in items):
        _by_position(matching, problems)
    return matching


def _pair(matching: Matching, is_match: Callable[[Item, HandlerMapping], bool]) -> None:
    """Pair each unmatched item with the first mapping that matches it."""
    for place in matching.unmatched():
        item = matching.items[place]
        found = (one for one in matching.left if is_match(item, one))
        if mapping := next(found, None):
            matching.pair(place, mapping)


def _is_equal(item: Item, mapping: HandlerMapping) -> bool:
    """Return whether nothing but the name differs."""
    return _has_same_handler(item, mapping) and not _differing(_wanted(item), _stored(mapping))


def _has_same_handler(item: Item, mapping: HandlerMapping) -> bool:
    is_same_kind = _kind(mapping) == _kind_of(item)
    return is_same_kind and (mapping.handler, mapping.task) == target_of(item)


def _by_handler(matching: Matching, problems: Problems) -> bool:
    """Pair items and mappings with the same handler; return whether nothing is unclear."""
    groups: dict[tuple[Kind, tuple[str, str]], list[int]] = {}
    for place in matching.unmatched():
        item = matching.items[place]
        groups.setdefault((_kind_of(item), target_of(item)), []).append(place)
    are_clear = [_pair_of_handler(matching, group, problems) for group in groups.values()]
    return all(are_clear)


def _pair_of_handler(matching: Matching, places: list[int], problems: Problems) -> bool:
    unclear = _pair_alike(matching, places)
    if unclear:  # an item whose name is not stored yet is a new mapping
        named = {pair.place for pair in unclear if value_of(pair.item, "name")}
        matching.new |= named
        unclear = _pair_alike(matching, [place for place in places if place not in named])
    if unclear and not any(pair.item.refused_keys for pair in unclear):
        _refuse_alike(unclear, problems)
    return not unclear


def _pair_alike(matching: Matching, places: Sequence[int]) -> list[_Pair]:
    """Pair items and mappings that are clearly the most alike, and return the pairs that remain
    possible. A mapping with a name is not paired with an item of another name."""
    pairs = [
        _Pair(place, item, mapping, _differing(_wanted(item), _stored(mapping)))
        for place in places
        if place not in matching.found
        for item in [matching.items[place]]
        for mapping in matching.left
        if _has_same_handler(item, mapping) and not (mapping.name and value_of(item, "name"))
    ]
    while found := next((pair for pair in pairs if _is_closest(pair, pairs)), None):
        matching.pair(found.place, found.mapping)
        pairs = [
            pair
            for pair in pairs
            if pair.place != found.place and pair.mapping is not found.mapping
        ]
    return pairs


def _is_closest(pair: _Pair, pairs: Sequence[_Pair]) -> bool:
    """Return whether each other pair of the item, and of the mapping, differs in the same keys and
    in more, or is interchangeable with this one."""
    of_item = [other for other in pairs if other.place == pair.place]
    of_mapping = [other for other in pairs if other.mapping is pair.mapping]
    return all(
        pair.differing < other.differing or _are_interchangeable(pair.mapping, other.mapping)
        for other in of_item
    ) and all(
        pair.differing < other.differing or not _differing(_wanted(pair.item), _wanted(other.item))
        for other in of_mapping
    )


def _are_interchangeable(one: HandlerMapping, other: HandlerMapping) -> bool:
    state = (one.name, one.paused_at is None)
    is_same_state = state == (other.name, other.paused_at is None)
    return is_same_state and not _differing(_stored(one), _stored(other))


def _wanted(item: Item) -> dict[str, Any]:
    values = {key: item.values.get(key, default_of(HandlerMapping, key)) for key in HANDLER}
    return {**values, DESTINATION_KEY: item.values.get(DESTINATION_KEY) or ""}


def _stored(mapping: HandlerMapping) -> dict[str, Any]:
    values = {key: getattr(mapping, key) for key in HANDLER}
    return {**values, DESTINATION_KEY: mapping.destination.name if mapping.destination else ""}


def _differing(old: dict[str, Any], new: dict[str, Any]) -> frozenset[str]:
    """Return the keys whose values differ, but for the name."""
    return frozenset(key for key in old if key != "name" and not is_same(old[key], new[key]))


def _refuse_alike(unclear: Sequence[_Pair], problems: Problems) -> None:
    item = unclear[0].item
    on, entity = _kind_of(item)
    lines = sorted({pair.item.line for pair in unclear})
    stored = len({pair.mapping.pk for pair in unclear})
    keys = sorted({key for pair in unclear for key in pair.differing})
    problems.add(
        lines[0],
        "handlers: it is unclear which entry of the file is which stored mapping: "
        f"{_counted(len(lines), 'entry', 'entries')} (line {', '.join(map(str, lines))}) and "
        f"{_counted(stored, 'mapping', 'mappings')} of {on} {entity} to "
        f"{shown_target(*target_of(item))} differ in {', '.join(keys)}. Waiting deliveries stay "
        "with their mapping. Give each new entry of the file a unique name: key. To keep a stored "
        "mapping, first apply the file with nothing but a name: key added to its entry, and make "
        "other changes in a second run",
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _by_position(matching: Matching, problems: Problems) -> None:
    places: dict[Kind, list[int]] = {}
    for place in matching.unmatched():
        places.setdefault(_kind_of(matching.items[place]), []).append(place)
    for kind, group in places.items():
        # A named mapping is only matched by its name. One that only records is free to be used.
        unnamed = [one for one in matching.left if _kind(one) == kind and not one.name]
        used = [one for one in unnamed if one.handler or one.task]
        empty = [one for one in unnamed if one not in used]
        _pair_by_position(matching, group, used, empty, problems)


def _pair_by_position(
    matching: Matching,
    places: list[int],
    used: list[HandlerMapping],
    empty: list[HandlerMapping],
    problems: Problems,
) -> None:
    if used and len(places) != len(used):  # an item whose name is not stored yet is a new mapping
        places = [place for place in places if not value_of(matching.items[place], "name")]
    if places and used and len(places) != len(used):
        _refuse(matching, places, used, problems)
        return
    for place, mapping in zip(places, used or empty, strict=False):
        matching.pair(place, mapping)


def _refuse(
    matching: Matching, places: list[int], used: list[HandlerMapping], problems: Problems
) -> None:
    items = [matching.items[place] for place in places]
    on, entity = _kind_of(items[0])
    ours = ", ".join(shown_target(*target_of(item)) for item in items)
    theirs = ", ".join(shown_target(one.handler, one.task) for one in used)
    problems.add(
        items[0].line,
        f"handlers: it is unclear which of these {on} {entity} handlers replaces which: the file "
        f"has {ours}, the database has {theirs}. Waiting deliveries go to the handler that "
        "replaces theirs. Give each new entry of the file a unique name: key, or first change the "
        "stored handlers, and add or remove others in a second run",
    )


def shown_target(handler: str, task: str) -> str:
    return handler or (f"task {task}" if task else "recorded only")


def _kind(mapping: HandlerMapping) -> Kind:
    return str(mapping.on), str(mapping.entity)


def _kind_of(item: Item) -> Kind:
    return value_of(item, "on"), value_of(item, "entity")
