"""Reads the tables of a page."""

from __future__ import annotations

import re
from pathlib import Path

#: A bar that is not escaped.
_BAR = re.compile(r"(?<!\\)\|")


def rows_of(page: Path) -> list[list[str]]:
    """Return the cells of each row that starts with code."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in _BAR.split(line)[1:-1]] for line in lines]


def named(cell: str) -> list[str]:
    """Return the texts that a cell marks as code."""
    return re.findall(r"`([^`]+)`", cell)
