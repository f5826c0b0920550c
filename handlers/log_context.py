"""What is logged while a handler runs says for which delivery, whoever logs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.contextvars import bind_contextvars, reset_contextvars

from handlers.bundle import Unit


@contextmanager
def naming(unit: Unit) -> Iterator[None]:
    tokens = bind_contextvars(**_names(unit))
    try:
        yield
    finally:
        reset_contextvars(**tokens)


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
    entry = delivery.entry
    return {
        **names,
        "attempt": unit[0].attempt,
        "entity": entry.entity_name,
        "record": entry.record_id,
    }
