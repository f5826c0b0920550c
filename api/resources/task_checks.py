"""Checks, before a mapping is saved, that the workers of its queue have registered its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from handlers.external.inspection import TaskCheck
from handlers.external.task_checks import Address, address_of
from handlers.models import HandlerMapping

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


def refuse_unknown(check: TaskCheck | None, request: Request) -> None:
    """Raise ValidationError for a task that no worker of its queue has registered."""
    if check is None or not check.is_unknown or request.query_params.get(ALLOW) == "true":
        return
    raise serializers.ValidationError(
        {"task": f"{check.text} To save the mapping all the same, add ?{ALLOW}=true to the URL."}
    )
