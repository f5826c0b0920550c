"""The kinds of runs, each with its function."""

from __future__ import annotations

from collections.abc import Mapping

from mirror import runs
from mirror.load import load, sweep_run
from mirror.models import MirrorRun
from mirror.runs import RunFunction

KINDS: Mapping[str, RunFunction] = {
    MirrorRun.Kind.LOAD: load.run,
    MirrorRun.Kind.SWEEP: sweep_run.run,
}


def work(run_id: int) -> None:
    """Run for one slice of time, unless another process does. Never inside a transaction."""
    runs.work(run_id, KINDS)
