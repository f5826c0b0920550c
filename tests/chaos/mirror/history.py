"""The org's history as its users wrote it: the values of each record's tracked fields, in the order
of the commits."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

Key = tuple[str, str]
#: The name under which a record's deletions and restorations are kept: True and False.
DELETED = "#deleted"
#: The value of a record that was there before the run.
ANY: Any = object()
Written = tuple[int, Any]


class History:
    """Values and times of all writes. `silent` are records deleted permanently, without an
    event."""

    def __init__(self) -> None:
        self.fields: dict[Key, dict[str, list[Written]]] = defaultdict(dict)
        self.written_at: dict[Key, int] = {}
        self.silent: set[Key] = set()
        self.created_at: dict[Key, int] = {}

    def create(self, key: Key, at: int, values: dict[str, Any]) -> None:
        self.created_at[key] = at
        self.fields[key] = {name: [(at, value)] for name, value in values.items()}
        self.fields[key][DELETED] = [(at, False)]

    def write(self, key: Key, at: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            written = self.fields[key].setdefault(name, [(0, self._before(key))])
            written.append((at, value))

    def _before(self, key: Key) -> Any:
        return None if key in self.created_at else ANY

    def move(self, key: Key, at: int, *, is_deleted: bool) -> None:
        moves = self.fields[key].setdefault(DELETED, [(0, False)])
        if moves[-1][1] is not is_deleted:
            moves.append((at, is_deleted))

    def moves(self, key: Key) -> list[Written]:
        return self.fields.get(key, {}).get(DELETED, [(0, False)])
