"""How a run can end: a handler returns, returns `Skipped`, raises `Retry`, or raises."""

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Succeeded:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that did not do its work; `after` (seconds) overrules the back-off.

    kind   failed: it raised; retry: it raised Retry; lost: its worker never ended it
    """

    error: str
    traceback: str = ""
    after: float | None = None
    kind: Literal["failed", "retry", "lost"] = "failed"


Outcome = Succeeded | Skipped | Failed


def storable(text: str) -> str:
    """What PostgreSQL takes: no NUL, no lone surrogate, not endless."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()[-MAX_ERROR:]
