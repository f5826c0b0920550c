"""Progress of a command, on standard error: one line that is rewritten on a terminal, and a log
line every few seconds elsewhere; and the end of a command that Ctrl-C interrupts."""

from __future__ import annotations

import sys
import time
from typing import Any, NoReturn

import structlog
from django.core.management.base import BaseCommand

from audit.db.row_count import Total
from audit.jobs.eta import Pace

log = structlog.get_logger(__name__)

#: Seconds between two updates.
ON_TERMINAL, IN_LOG = 0.2, 5.0
REWRITE = "\r\x1b[K"
#: The exit code that a shell reports for a program ended by SIGINT.
INTERRUPTED = 130


def interrupted(command: BaseCommand, text: str) -> NoReturn:
    """Exit a command that Ctrl-C interrupted; `text` says what is left to do."""
    command.stderr.write(text)
    sys.exit(INTERRUPTED)


class Meter:
    """`with Meter(self.stderr, "export", total) as meter: meter.at(rows)`."""

    def __init__(self, stream: Any, name: str, total: Total | None = None) -> None:
        self._stream = stream
        self._name = name
        self._total = total or Total(None)
        self._done = 0
        self._rewrites = bool(stream.isatty())
        self._started_at = self._shown_at = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rewrites:
            self._rewrite("")

    def at(self, done: int, *, about: str = "") -> None:
        """Report that `done` items are done; `about` names the current step."""
        self._done = done
        now = time.monotonic()
        if now - self._shown_at < (ON_TERMINAL if self._rewrites else IN_LOG):
            return
        self._shown_at = now
        pace = Pace(done, self._total, now - self._started_at)
        if self._rewrites:
            line = ": ".join(part for part in (self._name, about, str(pace)) if part)
            self._rewrite(line)
        else:
            self._log(pace, about)

    def advance(self, rows: int = 1) -> None:
        self.at(self._done + rows)

    def _rewrite(self, line: str) -> None:
        # `style_func` keeps Django from colouring the line as an error.
        self._stream.write(f"{REWRITE}{line}", style_func=str, ending="")
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
