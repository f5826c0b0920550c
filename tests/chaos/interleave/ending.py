"""Ends a run on SIGTERM, with all its processes."""

from __future__ import annotations

from typing import NoReturn


def end(number: int, frame: object) -> NoReturn:
    raise SystemExit(f"ended by signal {number}")
