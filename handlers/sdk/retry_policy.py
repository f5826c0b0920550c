"""The number of attempts that a delivery is allowed."""

from __future__ import annotations

from typing import Any

from handlers.sdk.registry import Handler

#: The number of attempts if neither the mapping nor the handler sets one.
MAX_ATTEMPTS = 5


def allowed(handler: Handler[Any] | None, of_mapping: int | None) -> int:
    """Return the number of attempts: the mapping's, else the handler's, else MAX_ATTEMPTS."""
    of_handler = handler.max_attempts if handler else None
    return of_mapping or of_handler or MAX_ATTEMPTS
