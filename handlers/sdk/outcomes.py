"""How a run can end: a handler returns, returns `Skipped`, raises `Retry`, or raises; one that
takes many changes at once raises `BatchFailed` for some of them."""

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
    """Raise it to be called again: after so many seconds, or after the usual back-off.

    It counts as an attempt; past the last one the delivery is dead.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        if after is not None and not 0 <= after <= MAX_AFTER:
            raise ValueError(f"Retry(after={after!r}): give seconds, from 0 to {MAX_AFTER:.0f}.")
        self.reason = reason
        self.after = after
        super().__init__(reason or "the handler asked for a retry")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Return it to say that there was nothing to do, and why."""

    reason: str


class BatchFailed(Exception):
    """Raise it from a handler with `batch`: these changes failed, the others succeeded.

    errors   by event, or by its id: an exception, a `Retry` among them; a `Skipped`; or a text
    """

    def __init__(self, errors: Mapping[EventData | int, Exception | Skipped | str]) -> None:
        for error in errors.values():
            if not isinstance(error, Exception | Skipped | str):
                raise TypeError(
                    f"BatchFailed: {error!r} is no exception, no Skipped and no text; give one of "
                    "them for each change that failed."
                )
        self.errors = {key if isinstance(key, int) else key.id: e for key, e in errors.items()}
        super().__init__(f"{len(errors)} of the changes failed")


@dataclass(frozen=True, slots=True)
class Succeeded:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that did not do its work; `after` (seconds) overrules the back-off.

    kind   failed: it raised; retry: it raised Retry; lost: its worker never ended it
    type   of what it raised, the class by its full name
    at     the file and line that raised it
    """

    error: str
    traceback: str = ""
    after: float | None = None
    kind: Literal["failed", "retry", "lost"] = "failed"
    type: str = ""
    at: str = ""


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
    """What PostgreSQL takes: no NUL, no lone surrogate, not endless."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()[-MAX_ERROR:]
