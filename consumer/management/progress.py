"""Progress of a command, on standard error: one line that is rewritten on a terminal, and a log
line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import structlog

from audit.db.row_count import Total
from audit.jobs.eta import Pace

log = structlog.get_logger(__name__)

#: Seconds between two updates.
ON_TERMINAL, IN_LOG = 0.2, 5.0
_REWRITE = "\r\x1b[K"


class Meter:
    """`with Meter(self.stderr, "export", total) as meter: meter.at(rows)`."""

    def __init__(self, stream: Any, name: str, total: Total | None = None, done: int = 0) -> None:
        self._stream = stream
        self._name = name
        self._total = total or Total(None)
        self._done_at_start = done
        self._done = done
        self._rewrites = bool(stream.isatty())
        self._started_at = self._shown_at = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._rewrites:
            self._rewrite("")

    def at(self, done: int, *, total: Total | None = None, about: str = "") -> None:
        """Report that `done` items are done; `about` names the current step."""
        self._done, self._total = done, total or self._total
        now = time.monotonic()
        if now - self._shown_at < (ON_TERMINAL if self._rewrites else IN_LOG):
            return
        self._shown_at = now
        pace = Pace(done, self._total, now - self._started_at, self._done_at_start)
        if self._rewrites:
            line = ": ".join(part for part in (self._name, about, str(pace)) if part)
            self._rewrite(line)
        else:
            self._log(pace, about)

    def advance(self, rows: int = 1) -> None:
        self.at(self._done + rows)

    def _rewrite(self, line: str) -> None:
        # `style_func` keeps Django from colouring the line as an error.
        self._stream.write(f"{_REWRITE}{line}", style_func=str, ending="")
        self._stream.flush()

    def _log(self, pace: Pace, about: str) -> None:
        fields = {
            "about": about,
            "total": str(self._total) if self._total.number is not None else "",
            "percent": pace.percent,
            "rate": pace.speed,
            "left": pace.left.removesuffix(" left"),
        }
        known = {name: value for name, value in fields.items() if value not in ("", None)}
        log.info("progress", work=self._name, done=pace.done, **known)
