"""The arguments and message properties of an external task.

PayloadRefused   the change cannot be sent as its mapping is set; a retry would not help
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from handlers.models import Delivery
from handlers.rules.task_options import ARGUMENTS, TaskOptions
from handlers.sdk.events import EventData

#: The REST resource with the whole event of a delivery, below `CDC_PUBLIC_URL`.
EVENT_PATH = "/api/v1/deliveries/{}/event/"


class PayloadRefused(Exception):
    """Change the mapping's options, or let the task read the event from its reference."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The arguments with their size, and options for Celery's `apply_async`: JSON values."""

    args: list[Any]
    kwargs: dict[str, Any]
    size: int
    headers: dict[str, str] = field(default_factory=dict)
    priority: int | None = None
    expires: int | None = None


def payload_of(delivery: Delivery, event: EventData) -> Payload:
    """Return the payload for a delivery whose mapping is loaded. Raises PayloadRefused."""
    try:
        options = TaskOptions.of(delivery.mapping.options)
    except ValueError as error:
        raise PayloadRefused(f"The options of the mapping are invalid. {error}") from None
    whole = event.to_dict()
    kwargs = _arguments(options, whole)
    size = _size(options.args, kwargs)
    if size > options.max_bytes:
        if options.large_payload == "refuse":
            raise PayloadRefused(
                f"{_too_large(size, options)} Set large_payload to reference in the mapping's "
                "options, so that the task gets a URL of the event instead, or raise max_bytes."
            )
        kwargs = _arguments(options, _referenced(whole, delivery.pk))
        size = _size(options.args, kwargs)
        if size > options.max_bytes:
            raise PayloadRefused(
                f"{_too_large(size, options)} This is the size without the changed data, which "
                "is referenced already. Raise max_bytes in the mapping's options."
            )
    return Payload(options.args, kwargs, size, options.headers, options.priority, options.expires)


def _arguments(options: TaskOptions, event: dict[str, Any]) -> dict[str, Any]:
    if options.arguments == "parts":
        parts = {name: event[name] for name in ARGUMENTS["parts"] if name in event}
        if "reference" in event:
            parts["changedData"] = {"reference": event["reference"]}
        return options.kwargs | parts
    return options.kwargs | {"event": event}


def _referenced(event: dict[str, Any], delivery_id: int) -> dict[str, Any]:
    """Return the event with the URL of the whole one in place of its changed data."""
    if not settings.CDC_PUBLIC_URL:
        raise PayloadRefused(
            "The change is too large to be sent, and cannot be referenced: CDC_PUBLIC_URL is not "
            "set. Set it to the URL of this installation's web server."
        )
    url = settings.CDC_PUBLIC_URL + EVENT_PATH.format(delivery_id)
    return {"reference": url} | {k: v for k, v in event.items() if k != "changedData"}


def _size(args: list[Any], kwargs: dict[str, Any]) -> int:
    """Return the size of the arguments as Celery's JSON, which is ASCII."""
    return len(json.dumps([args, kwargs]))


def _too_large(size: int, options: TaskOptions) -> str:
    return f"The task's arguments have {size:,} bytes, over the limit of {options.max_bytes:,}."
