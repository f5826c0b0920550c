"""Validation of the `options` of a mapping to an external task: how its message is built. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, cast

from celery.app.task import Context

#: The names of the task's keyword arguments, by the option `arguments`.
ARGUMENTS = {"event": ("event",), "parts": ("changedData", "metadata")}
LARGE_PAYLOADS = ("refuse", "reference")
#: The default and the largest limit of a message's arguments as JSON, in bytes.
MAX_BYTES, LARGEST_MAX_BYTES = 1_000_000, 16_000_000
SMALLEST_MAX_BYTES = 1_000
MAX_PRIORITY = 255
#: A year, in seconds.
LONGEST_EXPIRES = 31_536_000

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_LONGEST_VALUE = 1000
#: All headers of a message must fit into a frame of RabbitMQ, beside Celery's own.
_MOST_HEADERS, _LARGEST_HEADERS = 20, 8_000
#: Headers with a meaning for Celery's workers or for RabbitMQ.
_RESERVED = {*vars(Context), "lang", "task", "argsrepr", "kwargsrepr", "compression", "CC", "BCC"}


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of a mapping to an external task, as its mapping gives them.

    arguments      the form of the keyword arguments: `event`, or `changedData` and `metadata`
    args, kwargs   further arguments: positional ones come before the event
    headers        sent beside Celery's own
    priority       the message's priority; None: the broker's default
    expires        seconds after which a worker discards the task; None: never
    large_payload  what happens to arguments over `max_bytes`
    """

    arguments: Literal["event", "parts"] = "event"
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    priority: int | None = None
    expires: int | None = None
    large_payload: Literal["refuse", "reference"] = "refuse"
    max_bytes: int = MAX_BYTES

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TaskOptions:
        """Return the options of a mapping. Raises ValueError if they are invalid."""
        if found := task_option_flaws(options):
            raise ValueError(" ".join(found))
        return cls(**options)


def task_option_flaws(options: object) -> list[str]:
    """Return what is wrong with the options of a mapping to an external task."""
    if not isinstance(options, dict):
        return ["Give a JSON object, such as {}."]
    found = [_unknown(key) for key in options if key not in _CHECKS]
    for key, check in _CHECKS.items():
        if key in options and (flaw := check(options[key])):
            found.append(f"{key}: {flaw}")
    return found or _collisions(options)


def _unknown(key: object) -> str:
    near = get_close_matches(str(key), _CHECKS, 1)
    guess = f" Did you mean {near[0]}?" if near else ""
    return (
        f"An external task has no option {str(key)[:100]!r}.{guess} "
        f"Its options: {', '.join(_CHECKS)}."
    )


def _collisions(options: Mapping[str, Any]) -> list[str]:
    names = ARGUMENTS[cast("str", options.get("arguments", "event"))]
    taken = [name for name in names if name in options.get("kwargs", {})]
    return [
        f"kwargs: {name} is the argument that carries the change; choose another name."
        for name in taken
    ]


def _choice(*choices: str) -> Callable[[object], str]:
    return lambda value: "" if value in choices else f"Choose {' or '.join(choices)}."


def _number(lowest: int, highest: int, what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        is_right = is_number and lowest <= cast("int", value) <= highest
        return "" if is_right else f"Give {what}, a whole number from {lowest:,} to {highest:,}."

    return check


def _args_flaw(value: object) -> str:
    return "" if isinstance(value, list) else 'Give a list, such as ["eu"].'


def _kwargs_flaw(value: object) -> str:
    if isinstance(value, dict) and all(isinstance(k, str) and k.isidentifier() for k in value):
        return ""
    return 'Give an object with names of arguments, such as {"region": "eu"}.'


def _headers_flaw(value: object) -> str:
    if not isinstance(value, dict):
        return 'Give an object with texts, such as {"tenant": "eu"}.'
    for name, text in value.items():
        if not (isinstance(name, str) and _HEADER.fullmatch(name)):
            return (
                f"{str(name)[:100]!r} is no name of a header: use a letter, then letters, digits, "
                "dots, hyphens and underscores."
            )
        if name in _RESERVED:
            return f"{name} has a meaning for Celery or the broker; choose another name."
        if not isinstance(text, str) or len(text) > _LONGEST_VALUE:
            return f"The value of {name} must be a text of up to {_LONGEST_VALUE:,} characters."
    size = sum(len(name) + len(text.encode(errors="replace")) for name, text in value.items())
    if len(value) > _MOST_HEADERS or size > _LARGEST_HEADERS:
        return f"Give at most {_MOST_HEADERS} headers, with {_LARGEST_HEADERS:,} bytes in all."
    return ""


_CHECKS: dict[str, Callable[[object], str]] = {
    "arguments": _choice(*ARGUMENTS),
    "args": _args_flaw,
    "kwargs": _kwargs_flaw,
    "headers": _headers_flaw,
    "priority": _number(0, MAX_PRIORITY, "the message's priority"),
    "expires": _number(1, LONGEST_EXPIRES, "seconds"),
    "large_payload": _choice(*LARGE_PAYLOADS),
    "max_bytes": _number(SMALLEST_MAX_BYTES, LARGEST_MAX_BYTES, "bytes"),
}
