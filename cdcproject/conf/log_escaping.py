"""Escape foreign text in the log, so that it cannot forge lines or control the terminal."""

from __future__ import annotations

import traceback
from typing import Any, TextIO

from structlog.typing import EventDict, ExcInfo

_INDENT = "    "


def escaped(text: str) -> str:
    """Return a text with escaped control characters: a newline becomes `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode()
        for char in text
    )


def escape_texts(_: Any, __: str, line: EventDict) -> EventDict:
    """Escape the event and its text fields, as a structlog processor."""
    return {
        escaped(str(name)): escaped(value) if isinstance(value, str) else value
        for name, value in line.items()
    }


def write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback with indented lines, so that none looks like a line of the log.

    Local variables are left out, since they may contain secrets.
    """
    for part in traceback.format_exception(*exc_info):
        for line in part.split("\n"):
            if line:
                out.write(f"\n{_INDENT}{escaped(line)}")
