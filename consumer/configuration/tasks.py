"""Checks of the external tasks that a file names, by what the workers of their queues answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumer.configuration.desired_state import Item, Wanted
from consumer.configuration.errors import Problem, Problems
from consumer.configuration.matching import value_of
from consumer.configuration.schema import DESTINATION_KEY
from handlers.external.task_checks import Address, Checks, address_of
from handlers.models import HandlerMapping


def new_tasks(wanted: Wanted) -> Iterator[Address]:
    """Yield the tasks that the listener's stored mappings do not send to the same queue."""
    tasks = HandlerMapping.objects.exclude(task="").select_related("listener", "destination")
    stored = {(mapping.listener.name, address_of(mapping)) for mapping in tasks}
    for name, listener in wanted.listeners.items():
        for item in listener.handlers or ():
            if (name, _address(item)) not in stored:
                yield _address(item)


def check_tasks_known(
    items: Sequence[Item], checks: Checks, problems: Problems, *, allow_unknown: bool
) -> list[Problem]:
    """Report the tasks that no worker of their queue has registered; return them as warnings if
    they are allowed, with the tasks that could not be checked."""
    warnings: list[Problem] = []
    for item in items:
        check, line = checks.get(_address(item)), item.line_of("task")
        if check is None or not check.text:
            continue
        if check.is_unknown and not allow_unknown:
            problems.add(
                line,
                f"task: {check.text} --allow-unknown-handlers accepts tasks that are not "
                "registered yet",
            )
        else:
            warnings.append(Problem(line, f"task: {check.text}"))
    return warnings


def _address(item: Item) -> Address:
    destination = str(item.values.get(DESTINATION_KEY) or "")  # `destination: null` is none
    return (value_of(item, "task"), destination, value_of(item, "queue"))
