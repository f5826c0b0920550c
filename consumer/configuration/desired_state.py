"""The desired state: the connections, destinations, listeners and handlers of a file, read key by
key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consumer.configuration.errors import Problems, suggestion
from consumer.configuration.schema import (
    CONNECTION,
    CONNECTION_KEY,
    DESTINATION,
    DESTINATION_KEY,
    FILE,
    HANDLER,
    HANDLERS,
    LISTENER,
    LISTENER_KEY,
    MIRROR,
    NESTED,
    PARTS,
    PREFIX,
    AlreadyReported,
    Keys,
    Wrong,
    text,
    written,
)
from consumer.configuration.yaml_tree import Entry, Items, Mapping, Node, Scalar, Unusable
from listeners.models import Listener


@dataclass(frozen=True)
class Item:
    """One connection, listener or handler of the file."""

    line: int
    values: dict[str, Any]
    lines: dict[str, int]
    #: Keys whose values were refused. Further problems with them are not reported.
    refused_keys: frozenset[str]
    #: The handlers of a listener. None: the file has no handlers key, and the listener keeps its
    #: mappings.
    handlers: list[Item] | None = None

    def line_of(self, key: str) -> int:
        """Return the line of the key, of the nested mapping it belongs to, or of the item."""
        outer = NESTED if key.startswith(PREFIX) else ""
        return self.lines.get(key, self.lines.get(outer, self.line))


@dataclass(frozen=True)
class Wanted:
    """The connections, destinations and listeners of the file, by name, and its mirrors, by
    model."""

    connections: dict[str, Item]
    destinations: dict[str, Item]
    listeners: dict[str, Item]
    mirrors: dict[str, Item]


def wanted_of(root: Node, problems: Problems) -> Wanted:
    """Return the desired state of a parsed file. Problems are added to `problems`."""
    return _Reading(problems).file(root)


class _Reading:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def file(self, root: Node) -> Wanted:
        if not isinstance(root, Mapping):
            if not isinstance(root, Unusable):
                self._problems.add(root.line, "the file must begin with connections: or listeners:")
            return Wanted({}, {}, {}, {})
        self._refuse_unknown(root, FILE, "the file")
        connections = [
            self._item(node, CONNECTION, "a connection")
            for node in self._list(root.entries.get("connections"), "connections")
        ]
        destinations = [
            self._item(node, DESTINATION, "a destination")
            for node in self._list(root.entries.get("destinations"), "destinations")
        ]
        listeners = [
            self._listener(node) for node in self._list(root.entries.get("listeners"), "listeners")
        ]
        mirrors = [
            self._item(node, {**MIRROR, LISTENER_KEY: text}, "a mirror")
            for node in self._list(root.entries.get("mirrors"), "mirrors")
        ]
        default = str(Listener._meta.get_field("name").get_default())
        return Wanted(
            self._by_name(connections, "connection"),
            self._by_name(destinations, "destination"),
            self._by_name(listeners, "listener", default),
            self._by_name(mirrors, "mirror", key="model"),
        )

    def _listener(self, node: Mapping) -> Item:
        keys = {**LISTENER, CONNECTION_KEY: text}
        item = self._item(node, keys, "a listener", apart=(HANDLERS,))
        if CONNECTION_KEY not in (item.values.keys() | item.refused_keys):
            self._problems.add(item.line, "a listener needs a connection; name one")
        entry = node.entries.get(HANDLERS)
        if entry is None or _is_null(entry.value):
            return item
        keys = {**HANDLER, DESTINATION_KEY: text}
        handlers = [self._item(each, keys, "a handler") for each in self._list(entry, HANDLERS)]
        for handler in handlers:
            if "on" not in (handler.values.keys() | handler.refused_keys):
                self._problems.add(handler.line, "a handler needs on: create, update, …")
        self._by_name([handler for handler in handlers if handler.values.get("name")], "handler")
        return replace(item, handlers=handlers)

    def _list(self, entry: Entry | None, key: str) -> list[Mapping]:
        if entry is None or isinstance(entry.value, Unusable) or _is_null(entry.value):
            return []
        if not isinstance(entry.value, Items):
            self._problems.add(entry.line, f"{key}: give a list; begin each entry with a hyphen")
            return []
        found: list[Mapping] = []
        for node in entry.value.items:
            if isinstance(node, Mapping):
                found.append(node)
            elif not isinstance(node, Unusable):
                self._problems.add(node.line, f"{key}: each entry must be a mapping (key: value)")
        return found

    def _item(self, node: Mapping, keys: Keys, what: str, apart: Sequence[str] = ()) -> Item:
        outer = {key: entry.line for key, entry in node.entries.items()}
        node = self._flattened(node, keys)
        self._refuse_unknown(node, [*keys, *apart], what)
        values: dict[str, Any] = {}
        refused_keys: set[str] = set()
        for key, entry in node.entries.items():
            if key not in keys or _is_null(entry.value):
                continue
            if isinstance(entry.value, Unusable):
                refused_keys.add(key)
                continue
            try:
                values[key] = keys[key](entry.value)
            except AlreadyReported:
                refused_keys.add(key)
            except Wrong as wrong:
                refused_keys.add(key)
                self._problems.add(entry.line, f"{written(key)}: {wrong}")
        lines = outer | {key: entry.line for key, entry in node.entries.items()}
        return Item(node.line, values, lines, frozenset(refused_keys))

    def _flattened(self, node: Mapping, keys: Keys) -> Mapping:
        """Return the mapping with the parts of nested mappings as keys of their own."""
        entries: dict[str, Entry] = {}
        for key, entry in node.entries.items():
            if key != NESTED or keys is not CONNECTION:
                entries[key] = entry
            elif isinstance(entry.value, Mapping):
                self._refuse_unknown(entry.value, PARTS, key)
                inner = entry.value.entries
                entries |= {PREFIX + part: inner[part] for part in PARTS if part in inner}
            elif not isinstance(entry.value, Unusable) and not _is_null(entry.value):
                self._problems.add(entry.line, f"{key}: give a mapping of {', '.join(PARTS)}")
        return Mapping(node.line, entries)

    def _refuse_unknown(self, node: Mapping, known: Collection[str], what: str) -> None:
        for key, entry in node.entries.items():
            if key in known:
                continue
            hint = suggestion(key, list(known))
            self._problems.add(entry.line, f"{what} has no key {key!r}; {hint}")

    def _by_name(
        self, items: Sequence[Item], what: str, default: str = "", *, key: str = "name"
    ) -> dict[str, Item]:
        named: dict[str, Item] = {}
        for item in items:
            if key in item.refused_keys:
                continue
            name = item.values.setdefault(key, default)
            if not name:
                self._problems.add(item.line_of(key), f"a {what} needs a {key}")
            elif name in named:
                first = named[name].line_of(key)
                self._problems.add(
                    item.line_of(key),
                    f"duplicate {what} {name}, first in line {first}; choose another {key}",
                )
            else:
                named[name] = item
        return named


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "null"
