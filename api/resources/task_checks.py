"""Checks, before a mapping is saved, that the workers of its queue have registered its task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from handlers.external.inspection import TaskCheck, surveys
from handlers.models import Destination, HandlerMapping

#: Task, name of the destination (empty: our broker) and queue.
Address = tuple[str, str, str]
Checks = dict[Address, TaskCheck]
CONTEXT = "task_checks"
ALLOW = "allow_unknown_task"
allows_unknown = extend_schema(
    parameters=[
        OpenApiParameter(
            ALLOW,
            OpenApiTypes.BOOL,
            OpenApiParameter.QUERY,
            description="Save a mapping although the workers of its queue have not registered its "
            "task.",
        )
    ]
)


def address_of(mapping: HandlerMapping) -> Address:
    destination = mapping.destination
    return (mapping.task, destination.name if destination else "", mapping.queue)


def asked_address(data: Mapping[str, Any], stored: HandlerMapping | None = None) -> Address:
    """Return the address that a request gives a mapping. Values of wrong types count as empty."""
    task, destination, queue = address_of(stored) if stored else ("", "", "")
    given = [
        data.get("task", task),
        data.get("destination", destination),
        data.get("queue", queue),
    ]
    task, destination, queue = (value if isinstance(value, str) else "" for value in given)
    return (task.strip(), destination, queue)


def check_tasks(addresses: Iterable[Address]) -> Checks:
    """Ask the workers of the destinations, for two seconds at most. Never inside a transaction."""
    wanted = [address for address in dict.fromkeys(addresses) if address[0]]
    rows: dict[str, Destination | None] = {"": None}
    rows |= {row.name: row for row in Destination.objects.filter(name__in=[w[1] for w in wanted])}
    names = [name for name in dict.fromkeys(name for _, name, _ in wanted) if name in rows]
    found = dict(zip(names, surveys([rows[name] for name in names]), strict=True))
    return {
        (task, name, queue): found[name].check(task, queue)
        for task, name, queue in wanted
        if name in found
    }


def refuse_unknown(check: TaskCheck | None, request: Request) -> None:
    """Raise ValidationError for a task that no worker of its queue has registered."""
    if check is None or not check.is_unknown or request.query_params.get(ALLOW) == "true":
        return
    raise serializers.ValidationError(
        {"task": f"{check.text} To save the mapping all the same, add ?{ALLOW}=true to the URL."}
    )
