"""The kinds of runs, each with its function."""

from __future__ import annotations

from collections.abc import Mapping

from mirror import runs
from mirror.runs import RunFunction

KINDS: Mapping[str, RunFunction] = {}


def work(run_id: int) -> None:
    """Run for one slice of time, unless another process does. Never inside a transaction."""
    runs.work(run_id, KINDS)
