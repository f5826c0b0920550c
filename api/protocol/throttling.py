"""Rate limits of the REST API by user or address. All web processes share the counts."""

from __future__ import annotations

import math
import time
from typing import Any

from django.core.cache import cache
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

#: Seconds by which the clocks of web servers may differ.
_SKEW = 60.0


class _Times:
    """The cache for the times of past requests; other values in it count as absent."""

    def get(self, key: str, default: list[float]) -> Any:
        found = cache.get(key, default)
        latest = time.time() + _SKEW
        return (
            found
            if isinstance(found, list) and all(_is_past(value, latest) for value in found)
            else default
        )

    def set(self, key: str, times: list[float], seconds: float) -> None:
        cache.set(key, times, seconds)


def _is_past(value: Any, latest: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value <= latest


class AnonThrottle(AnonRateThrottle):
    cache: Any = _Times()


class UserThrottle(UserRateThrottle):
    cache: Any = _Times()
