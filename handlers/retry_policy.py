"""How many attempts a delivery has."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from handlers.registry import Handler


def allowed(handler: Handler[Any] | None, of_mapping: int | None) -> int:
    """Attempts: the mapping's word counts, then the handler's, then the setting's."""
    of_handler = handler.max_attempts if handler else None
    return of_mapping or of_handler or int(settings.CDC_MAX_ATTEMPTS)
