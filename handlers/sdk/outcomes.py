"""The outcomes of a handler run.

A handler returns, returns `Skipped`, raises `Retry`, or raises another exception. A batch handler
raises `BatchFailed` if some of its changes failed.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from handlers.sdk.events import EventData

MAPPING_DELETED = "its handler mapping was deleted"
MAX_AFTER = 366 * 86_400.0
MAX_ERROR = 10_000


class Retry(Exception):
    """Raise it to request another attempt, after `after` seconds or the usual back-off.

    The run counts as an attempt; after the last one the delivery is dead.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        if after is not None and not 0 <= after <= MAX_AFTER:
            raise ValueError(f"Retry(after={after!r}): give seconds, from 0 to {MAX_AFTER:.0f}.")
        self.reason = reason
        self.after = after
        super().__init__(reason or "the handler asked for a retry")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Return it from a handler that had nothing to do, with the reason."""

    reason: str


class BatchFailed(Exception):
    """Raise it from a handler with `batch`: the changes in `errors` failed, the others succeeded.

    errors   by event or event id: an exception (also a `Retry`), a `Skipped` or a text
    """

    def __init__(self, errors: Mapping[EventData | int, Exception | Skipped | str]) -> None:
        for error in errors.values():
            if not isinstance(error, Exception | Skipped | str):
                raise TypeError(
                    f"BatchFailed: {error!r} is not an exception, a Skipped or a text; give one of "
                    "these for each change that failed."
                )
        self.errors = {key if isinstance(key, int) else key.id: e for key, e in errors.items()}
        super().__init__(f"{len(errors)} of the changes failed")


@dataclass(frozen=True, slots=True)
class Succeeded:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt.

    after     seconds until the next attempt, in place of the back-off
    kind      failed: the handler raised; retry: it raised Retry; lost: its worker never ended the
              run; unknown: no worker reported the end of an external task
    type      the full class name of the exception
    at        the file and line that raised the exception
    is_final  another attempt would not help, so the delivery is dead
    """

    error: str
    traceback: str = ""
    after: float | None = None
    kind: Literal["failed", "retry", "lost", "unknown"] = "failed"
    type: str = ""
    at: str = ""
    is_final: bool = False


Outcome = Succeeded | Skipped | Failed


def failed(error: BaseException, at: str = "") -> Failed:
    if isinstance(error, Retry):
        return Failed(str(error), after=error.after, kind="retry")
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ else ""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return Failed(f"{kind.__name__}: {_text(error)}", trace, type=name, at=at)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its text cannot be read"


def returned(result: object) -> Outcome:
    return result if isinstance(result, Skipped) else Succeeded()


def storable(text: str) -> str:
    """Return the text as PostgreSQL stores it: no NUL, no lone surrogate, at most MAX_ERROR."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()[-MAX_ERROR:]
