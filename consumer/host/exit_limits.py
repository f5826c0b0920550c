"""The limits after which a listener process exits by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Exit after `idle_seconds` without work, or after `max_events` recorded changes; None: no
    limit."""

    idle_seconds: float | None = None
    max_events: int | None = None
