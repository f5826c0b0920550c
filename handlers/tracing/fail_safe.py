"""A change is recorded and handled whatever becomes of its trace: samplers and processors may be
anybody's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog

log = structlog.get_logger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def harmless(work: Callable[Arguments, Result]) -> Callable[Arguments, Result | None]:
    """None where it went wrong."""

    @wraps(work)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | None:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            _tell(work.__name__, error)
            return None

    return guarded


_told: set[tuple[str, str]] = set()


def _tell(what: str, error: Exception) -> None:
    """Once, of a kind: what it says may be different for each change."""
    kind = type(error).__name__
    if (what, kind) not in _told:
        _told.add((what, kind))
        log.error("a trace is incomplete", what=what, reason=f"{kind}: {error}")
