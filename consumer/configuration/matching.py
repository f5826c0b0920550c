"""Match a listener's handlers in the file with its stored mappings.

A mapping keeps its row, and the deliveries that refer to it, when its handler, fields or options
change. It is matched by name; without a name, by its handler among the mappings with the same `on`
and `entity`; and then by its position among the remaining ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problems
from handlers.models import HandlerMapping
from listeners.models.connection_rules import default_of

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
    """

    items: Sequence[Item]
    left: list[HandlerMapping]
    found: dict[int, HandlerMapping] = field(default_factory=dict)

    def pair(self, place: int, mapping: HandlerMapping) -> None:
        self.found[place] = mapping
        self.left.remove(mapping)

    def unmatched(self) -> list[int]:
        return [place for place in range(len(self.items)) if place not in self.found]


def match(items: Sequence[Item], stored: Sequence[HandlerMapping], problems: Problems) -> Matching:
    """Match items with stored mappings. Ambiguous matches are added to `problems`."""
    matching = Matching(items, list(stored))
    _pair(matching, lambda item, one: bool(one.name) and one.name == value_of(item, "name"))
    _pair(matching, _has_same_handler)
    if not any(item.refused_keys.intersection(_IDENTITY) for item in items):
        _by_position(matching, problems)
    return matching


def _pair(matching: Matching, is_match: Callable[[Item, HandlerMapping], bool]) -> None:
    """Pair each unmatched item with the first mapping that matches it."""
    for place in matching.unmatched():
        item = matching.items[place]
        found = (one for one in matching.left if is_match(item, one))
        if mapping := next(found, None):
            matching.pair(place, mapping)


def _has_same_handler(item: Item, mapping: HandlerMapping) -> bool:
    is_same_kind = _kind(mapping) == _kind_of(item)
    return is_same_kind and (mapping.handler, mapping.task) == target_of(item)


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
