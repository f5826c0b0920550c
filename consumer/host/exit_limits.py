"""When a listener process ends by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """After so many idle seconds, or so many recorded changes; None: never."""

    idle_seconds: float | None = None
    max_events: int | None = None
