"""All problems of a file, by line. Their texts never contain secrets.

ConfigurationRefused   nothing was changed; correct the named lines and apply the file again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, order=True)
class Problem:
    """One problem in a line of the file."""

    line: int
    text: str


class Problems:
    """Collects problems. A problem found twice, such as through an alias, is kept once."""

    def __init__(self) -> None:
        self._found: set[Problem] = set()

    def add(self, line: int, text: str) -> None:
        self._found.add(Problem(line, text))

    def has(self, line: int, key: str) -> bool:
        """Return whether a problem with the key was found in the line."""
        return any(found.line == line and found.text.startswith(key) for found in self._found)

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> list[Problem]:
        return sorted(self._found)


class ConfigurationRefused(Exception):
    """The file cannot be applied; nothing was changed. Correct the lines it names."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.lines = [f"{file}:{problem.line}: {problem.text}" for problem in problems]
        count = "1 error" if len(self.lines) == 1 else f"{len(self.lines)} errors"
        super().__init__("\n".join([f"{count}, nothing was changed", *self.lines]))


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return a hint: the closest known word as a question, or all known words."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"use one of {', '.join(known)}" if known else "none is defined"
