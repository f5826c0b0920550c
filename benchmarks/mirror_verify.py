"""Verifications of a mirror: by counts, and field by field beside the load of the same records.

python -m benchmarks.mirror_verify     loads and verifies; the environment names the org
"""

from __future__ import annotations

import json
import time

from benchmarks.figures import Figure, Report, Target
from benchmarks.mirror_load import LISTENER, load_product, org_with
from benchmarks.stage import Run, Stage, configure
from tests.simulator.process import SimulatorProcess

#: The number of rows of a verification by counts, and the seconds that it may take.
COUNTED, LONGEST = 1_000_000, 10.0


def measure(stage: Stage, report: Report, records: int, runs: int) -> None:
    found = []
    with org_with(records) as org:
        for _ in range(runs):
            with stage.run() as run:
                found.append(_verified(org, run))
    rates = {
        name: tuple(records / one[name] for one in found) for name in ("load", "counts", "full")
    }
    load = Target.share_of(rates["load"], 1.0, "no slower than the load")
    counts = Target(COUNTED / LONGEST, f"{COUNTED:,} rows in {LONGEST:.0f} s")
    report.figures += [
        Figure("mirror verify, counts", "rows/s", rates["counts"], (counts,)),
        Figure("mirror verify, full", "rows/s", rates["full"], (load,)),
        Figure("mirror verify, the load before", "rows/s", rates["load"]),
    ]


def _verified(org: SimulatorProcess, run: Run) -> dict[str, float]:
    configure(run, org, LISTENER)
    said: dict[str, float] = json.loads(
        run.python("-m", "benchmarks.mirror_verify").splitlines()[-1]
    )
    return said


def main() -> None:
    seconds = {"load": load_product()[0]}
    from django.utils import timezone

    from mirror import kinds, runs
    from mirror.models import Mirror

    mirror = Mirror.objects.get()
    for depth in ("counts", "full"):
        began = time.monotonic()
        run, _ = runs.request(mirror, "verify", timezone.now(), options={"depth": depth})
        while not run.is_over:
            kinds.work(run.pk)
            run.refresh_from_db()
        if not run.is_right:
            raise RuntimeError(run.error)
        seconds[depth] = time.monotonic() - began
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
