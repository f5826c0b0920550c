"""The kinds of runs, each with its function."""

from __future__ import annotations

from collections.abc import Mapping

from mirror import runs
from mirror.load import load, sweep_run
from mirror.models import MirrorRun
from mirror.runs import RunFunction
from mirror.verify import formulas
from mirror.verify import run as verification

KINDS: Mapping[str, RunFunction] = {
    MirrorRun.Kind.LOAD: load.run,
    MirrorRun.Kind.SWEEP: sweep_run.run,
    MirrorRun.Kind.VERIFY: verification.verify,
    MirrorRun.Kind.REPAIR: verification.repair,
    MirrorRun.Kind.FORMULAS: formulas.refresh,
}


def work(run_id: int) -> None:
    """Run for one slice of time, unless another process does. Never inside a transaction."""
    runs.work(run_id, KINDS)
