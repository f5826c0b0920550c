"""What is logged while a handler runs says for which delivery, whoever logs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from structlog.contextvars import STRUCTLOG_KEY_PREFIX

from handlers.bundle import Unit

#: Merged into each line as `about`, which cdcproject.logs asks what it says: there is a run for
#: each delivery, and few of them log anything.
_ABOUT: ContextVar[Callable[[], dict[str, Any]]] = ContextVar(f"{STRUCTLOG_KEY_PREFIX}about")


@contextmanager
def naming(unit: Unit) -> Iterator[None]:
    token = _ABOUT.set(partial(_names, unit))
    try:
        yield
    finally:
        _ABOUT.reset(token)


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
