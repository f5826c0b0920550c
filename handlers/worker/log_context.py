"""Adds the running delivery to every log line written during a handler's call."""

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
    """Bind the delivery to log lines as `about`, a callable that cdcproject.conf.logging calls.

    The names are computed only when a line is written, since few runs log anything.
    """
    return bound_contextvars(about=partial(_names, unit))


def place_of(error: BaseException, handler: Handler[Any]) -> str:
    """Return `file:line` of an exception, if possible the last line in the handler's own file."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    code = getattr(inspect.unwrap(handler.function), "__code__", None)
    own = [frame for frame in frames if code is not None and frame[0] == code.co_filename]
    path, line = (own or frames)[-1]
    return f"{path}:{line}"


def _names(unit: Unit) -> dict[str, Any]:
    """Return the fields of a delivery; for a batch those of the first one, and the batch's size."""
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
