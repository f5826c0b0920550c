"""How many deliveries may share a message, and a call of a handler that takes many."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeVar

from handlers.registry import Handler

#: Of a handler that takes one change at a time.
MOST = 100
#: What failed is tried again in so much smaller company.
SMALLER = 10
#: So few that they are spread over the workers go one by one.
SPREAD = 16
Item = TypeVar("Item")


def most(handler: Handler[Any], counted: int, attempts: int) -> int:
    """After so many of the `attempts` that are allowed: a change that takes its process along is
    not to use up those of the others."""
    if handler.batch is None:
        return 1 if counted or attempts == 1 else MOST
    if counted and counted >= attempts - 1:
        return 1
    return max(1, int(handler.batch // SMALLER**counted))


def spread(count: int, waiting: int = 0) -> int:
    """How many to put into a message of so many that are published at once, where so many messages
    wait already: those keep the workers busy as well."""
    messages = max(1, SPREAD - waiting)
    return max(1, min(MOST, count // messages))


def grouped(items: Sequence[tuple[tuple[Hashable, int], Item]]) -> Iterator[list[Item]]:
    """Those of a kind together, but no more than its second part says."""
    groups: dict[tuple[Hashable, int], list[Item]] = {}
    for kind, item in items:
        groups.setdefault(kind, []).append(item)
    for (_, size), group in groups.items():
        for start in range(0, len(group), size):
            yield group[start : start + size]
