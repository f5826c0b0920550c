"""Validates task messages before a worker handles them: any client of the broker can send one.

Unreadable   the message is not a task message that this worker can run. It is discarded; the relay
             publishes its deliveries again from the database
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from handlers.sdk import registry

#: The longest task name or id, which Celery writes to each log line of a task.
LONGEST_NAME = 255
#: The deepest nesting of a message that can be passed to a pool process.
DEEPEST = 50
#: The largest id in the database.
LARGEST_ID = 2**63 - 1

_TEXTS = (
    *("root_id", "parent_id", "group", "shadow", "origin", "argsrepr", "kwargsrepr"),
    *("eta", "expires"),
)
_NUMBERS = ("retries", "group_index", "replaced_task_nesting")
#: The type of each header that may be missing, and its name in the reason.
_TYPES: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(_TEXTS, (str, "a text")),
    **dict.fromkeys(_NUMBERS, (int, "a whole number")),
    "stamps": (Mapping, "an object"),
    "stamped_headers": (list | tuple, "a list"),
}
_FURTHER_TASKS = ("callbacks", "errbacks", "chain", "chord")


class Unreadable(Exception):
    """The message is discarded. The text says why, without quoting the message."""


def task_of(message: Any) -> str | None:
    """Return the task name of a message, known to this worker or not, or None if it has none.

    Raises Unreadable.
    """
    named = message.headers if _has_task(message.headers) else _decoded(message)
    if not _has_task(named):
        return None
    task = named["task"]
    if not (isinstance(task, str) and 0 < len(task) <= LONGEST_NAME):
        raise Unreadable("its task's name is not a short text")
    return task


def check(app: Celery, message: Any, task: str) -> None:
    """Raise Unreadable unless a worker can run this message of a registered task.

    Removes time limits from messages of this project's tasks.
    """
    _check_depth(message.headers, "headers")
    _check_depth(message.properties, "properties")
    body = _decoded(message)
    _check_depth(body, "body")
    if _has_task(message.headers):
        if not (isinstance(body, list) and len(body) == 3):
            raise Unreadable("its body is not a list of arguments, keyword arguments and options")
        args, kwargs, embedded = body
        fields = message.headers
    else:  # version 1 of Celery's protocol
        args, kwargs, embedded = body.get("args", []), body.get("kwargs", {}), body
        fields = body
    if not isinstance(embedded, dict | None):
        raise Unreadable("the options in its body are not an object")
    _check_fields(fields)
    _check_arguments(app, task, args, kwargs)
    if registry.find(task) is not None or task.startswith("consumer."):
        _check_ours(fields, kwargs, embedded or {})
        # The worker's own limits apply, not the sender's.
        fields["timelimit"] = [None, None]


def _has_task(fields: Any) -> bool:
    return isinstance(fields, Mapping) and "task" in fields


def _decoded(message: Any) -> Any:
    try:
        return message.payload
    except Exception as error:
        # Without the exception's text, which may quote the body.
        raise Unreadable(f"its body cannot be decoded ({type(error).__name__})") from None


def _check_depth(value: Any, what: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise Unreadable(f"its {what} are nested more than {DEEPEST} levels deep")


def _inner(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Check the headers that Celery itself reads, in the consumer and in the pool process."""
    task_id = fields.get("id")
    if not (isinstance(task_id, str) and 0 < len(task_id) <= LONGEST_NAME):
        raise Unreadable("its id is not a short text")
    for name, (kind, expected) in _TYPES.items():
        if not isinstance(fields.get(name), kind | None):
            raise Unreadable(f"its header {name} is not {expected}")
    limits = fields.get("timelimit") or (None, None)
    if not (isinstance(limits, list | tuple) and len(limits) == 2 and all(map(_is_limit, limits))):
        raise Unreadable("its header timelimit is not two numbers")


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and value > 0)


def _check_arguments(app: Celery, task: str, args: Any, kwargs: Any) -> None:
    if not (isinstance(args, list) and isinstance(kwargs, dict)):
        raise Unreadable("its arguments are not a list and an object")
    known = app.tasks[task]
    if known.typing:
        try:
            known.__header__(*args, **kwargs)
        except TypeError:
            raise Unreadable("the task does not take these arguments") from None


def _check_ours(
    fields: Mapping[str, Any], kwargs: dict[str, Any], embedded: Mapping[str, Any]
) -> None:
    """Check that a message of this project's tasks has only ids and no options of its own."""
    if not all(
        _are_ids(value) if name.endswith("_ids") else _is_id(value)
        for name, value in kwargs.items()
    ):
        raise Unreadable("its arguments are not ids")
    if any(embedded.get(name) for name in _FURTHER_TASKS):
        raise Unreadable("it requests further tasks")
    if fields.get("eta"):
        raise Unreadable("it sets an eta")


def _is_id(value: object) -> bool:
    return value is None or (type(value) is int and 0 < value <= LARGEST_ID)


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and _is_id(item) for item in value)
