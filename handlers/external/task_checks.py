"""Checks of the tasks that mappings name, before they are saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from handlers.external.inspection import TaskCheck, surveys
from handlers.models import Destination, HandlerMapping

#: Task, name of the destination (empty: our broker) and queue.
Address = tuple[str, str, str]
Checks = dict[Address, TaskCheck]


def address_of(mapping: HandlerMapping) -> Address:
    destination = mapping.destination
    return (mapping.task, destination.name if destination else "", mapping.queue)


def check_tasks(
    addresses: Iterable[Address], unsaved: Mapping[str, Destination] | None = None
) -> Checks:
    """Ask the workers of the destinations, for two seconds at most. Never inside a transaction.

    `unsaved` are destinations, by name, that are not stored yet or are about to change. There is no
    check of a task whose destination is unknown.
    """
    wanted = [address for address in dict.fromkeys(addresses) if address[0]]
    names = {name for _, name, _ in wanted}
    rows: dict[str, Destination | None] = {"": None}
    rows |= {row.name: row for row in Destination.objects.filter(name__in=names)}
    rows |= unsaved or {}
    asked = [name for name in rows if name in names]
    found = dict(zip(asked, surveys([rows[name] for name in asked]), strict=True))
    return {
        (task, name, queue): found[name].check(task, queue)
        for task, name, queue in wanted
        if name in found
    }
