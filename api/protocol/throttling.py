"""Rate limits of the REST API, by user or by address; all web processes count together."""

from __future__ import annotations

import math
import time
from typing import Any

from django.core.cache import cache
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

#: Seconds that clocks of web servers may be apart.
_SKEW = 60.0


class _Times:
    """The cache, as a place for the times of past requests: anything else in it is absent."""

    def get(self, key: str, default: list[float]) -> Any:
        found = cache.get(key, default)
        latest = time.time() + _SKEW
        return (
            found
            if isinstance(found, list) and all(_is_past(one, latest) for one in found)
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
