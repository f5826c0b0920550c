"""What is logged while a handler runs says for which delivery, whoever logs it."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from functools import partial
from traceback import walk_tb
from typing import Any

from structlog.contextvars import bound_contextvars

from handlers.sdk.registry import Handler
from handlers.types import Unit


def naming(unit: Unit) -> AbstractContextManager[None]:
    """Merged into each line as `about`, which cdcproject.conf.logging asks what it says: there is a
    run for each delivery, and few of them log anything."""
    return bound_contextvars(about=partial(_names, unit))


def place_of(error: BaseException, handler: Handler[Any]) -> str:
    """The line that raised an exception, of the handler's own file where one of it did."""
    frames = [(one.f_code.co_filename, line) for one, line in walk_tb(error.__traceback__)]
    code = getattr(inspect.unwrap(handler.function), "__code__", None)
    own = [one for one in frames if code is not None and one[0] == code.co_filename]
    path, line = (own or frames)[-1]
    return f"{path}:{line}"


def _names(unit: Unit) -> dict[str, Any]:
    """Of many that are handled at once, the first one's, and how many they are."""
    delivery = unit[0].delivery
    names = {
        "listener": delivery.entry.listener.name,
        "handler": delivery.handler,
        "delivery": delivery.pk,
    }
    if len(unit) > 1:
        return {**names, "deliveries": len(unit)}
    return {
        **names,
        "attempt": unit[0].attempt,
        "entity": delivery.entry.entity_name,
        "record": delivery.entry.record_id,
    }
