"""Match a listener's handlers in the file with its stored mappings.

A mapping keeps its row, and with it the deliveries that refer to it, when its handler, fields or
options change. It is found by its name; without one by its handler among the mappings of the same
`on` and `entity`; and then by its position among those that are left over there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problems
from handlers.models import HandlerMapping
from listeners.models.connection_rules import default_of

Kind = tuple[str, str]
#: What says which mapping an entry of the file is. While it is wrong, no entry is matched.
_IDENTITY = ("name", "on", "entity", "handler", "task")


def value_of(item: Item, field_name: str) -> str:
    """The value in the file, or the field's default."""
    return str(item.values.get(field_name, default_of(HandlerMapping, field_name)))


def target_of(item: Item) -> tuple[str, str]:
    return value_of(item, "handler"), value_of(item, "task")


@dataclass
class Matching:
    """`found`: the mapping of each item, by the item's place in the file. `left`: the stored
    mappings that no item asks for, in the order of their ids."""

    items: Sequence[Item]
    left: list[HandlerMapping]
    found: dict[int, HandlerMapping] = field(default_factory=dict)

    def pair(self, place: int, mapping: HandlerMapping) -> None:
        self.found[place] = mapping
        self.left.remove(mapping)

    def unmatched(self) -> list[int]:
        return [place for place in range(len(self.items)) if place not in self.found]


def match(items: Sequence[Item], stored: Sequence[HandlerMapping], problems: Problems) -> Matching:
    """Where it is unclear which mapping an item stands for, `problems` says so."""
    matching = Matching(items, list(stored))
    _by_name(matching)
    _by_handler(matching)
    if not any(item.spoiled.intersection(_IDENTITY) for item in items):
        _by_position(matching, problems)
    return matching


def _by_name(matching: Matching) -> None:
    for place, item in enumerate(matching.items):
        name = value_of(item, "name")
        named = (one for one in matching.left if name and one.name == name)
        if mapping := next(named, None):
            matching.pair(place, mapping)


def _by_handler(matching: Matching) -> None:
    for place in matching.unmatched():
        item = matching.items[place]
        alike = (
            one
            for one in matching.left
            if _kind(one) == _kind_of(item) and (one.handler, one.task) == target_of(item)
        )
        if mapping := next(alike, None):
            matching.pair(place, mapping)


def _by_position(matching: Matching, problems: Problems) -> None:
    places: dict[Kind, list[int]] = {}
    for place in matching.unmatched():
        places.setdefault(_kind_of(matching.items[place]), []).append(place)
    for kind, group in places.items():
        # A mapping with a name is that name's, and one that only records is an empty place.
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
    if used and len(places) != len(used):  # a name that is not stored yet is that of a new mapping
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
    ours = ", ".join(_target(*target_of(item)) for item in items)
    theirs = ", ".join(_target(one.handler, one.task) for one in used)
    problems.add(
        items[0].line,
        f"handlers: it is unclear which of these {on} {entity} handlers replaces which: the file "
        f"has {ours}, the database has {theirs}. What waits goes to the handler that replaces its "
        "own. Give each entry of the file that is new a name: of its own, or change the handlers "
        "that are stored first and add or remove others in a second run",
    )


def _target(handler: str, task: str) -> str:
    return handler or (f"task {task}" if task else "one that only records")


def _kind(mapping: HandlerMapping) -> Kind:
    return str(mapping.on), str(mapping.entity)


def _kind_of(item: Item) -> Kind:
    return value_of(item, "on"), value_of(item, "entity")
