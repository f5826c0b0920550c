"""Escape text from outside in the log: it begins no line of its own and controls no terminal."""

from __future__ import annotations

import traceback
from typing import Any, TextIO

from structlog.typing import EventDict, ExcInfo

_INDENT = "    "


def escaped(text: str) -> str:
    """Without control characters: a newline becomes `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode()
        for char in text
    )


def escape_texts(_: Any, __: str, line: EventDict) -> EventDict:
    """For a structlog chain: the event and each of its fields that is a text."""
    return {
        escaped(str(name)): escaped(value) if isinstance(value, str) else value
        for name, value in line.items()
    }


def write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Each of its lines is indented, so that no text of an exception looks like a line of the log.

    Without local variables, which may hold secrets.
    """
    for part in traceback.format_exception(*exc_info):
        for line in part.split("\n"):
            if line:
                out.write(f"\n{_INDENT}{escaped(line)}")
