"""Keep tracing errors, such as those of third-party samplers, out of recording and handling."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog

log = structlog.get_logger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def harmless(work: Callable[Arguments, Result]) -> Callable[Arguments, Result | None]:
    """Wrap `work` so that it logs an error and returns None."""

    @wraps(work)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | None:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            _log_once(work.__name__, error)
            return None

    return guarded


_logged: set[tuple[str, str]] = set()


def _log_once(what: str, error: Exception) -> None:
    """Log an error once for each class: its message may differ for each change."""
    kind = type(error).__name__
    if (what, kind) not in _logged:
        _logged.add((what, kind))
        log.error("trace incomplete", what=what, reason=f"{kind}: {error}")
