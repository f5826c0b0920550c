"""`python -m tests.chaos.mirror`: changes, kills and faults while objects are mirrored; exits with
1 if a row differs from the org, or went back in between."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.interleave.ending import end
from tests.chaos.mirror.play import Wanted, run
from tests.chaos.services import PATIENCE_SECONDS
from tests.servers import missing_postgres

DATABASES = ("sqlite", "postgres")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, end)
    if "postgres" in options.database and (missing := missing_postgres()):
        sys.stderr.write(f"{missing}\n")
        return 1
    seeds = range(options.seed, options.seed + options.seeds)
    totals = [_run(database, seed, options) for seed in seeds for database in options.database]
    return 1 if any(totals) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos.mirror", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(10_000), help="the same changes and faults")
    add("--seeds", type=int, default=1, help="so many seeds, from that one on")
    add("--records", type=int, default=200_000, help="how many records the org has at first")
    add("--seconds", type=float, default=300.0, help="how long changes and faults go on")
    add("--every", type=float, default=3.0, help="seconds between two faults, on average")
    add("--rate", type=float, default=15.0, help="transactions a second, at most")
    add("--patience", type=float, default=PATIENCE_SECONDS, help="seconds in which nothing moves")
    add("--database", nargs="+", choices=DATABASES, default=list(DATABASES))
    add("--broker", choices=["valkey"], default="valkey")
    return parser.parse_args()


def _run(database: str, seed: int, options: argparse.Namespace) -> int:
    """Return the number of violations. The logs of a run with any are kept."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-mirror-chaos-"))
    wanted = Wanted(
        seed=seed,
        database=database,
        records=options.records,
        seconds=options.seconds,
        every=options.every,
        rate=options.rate,
        patience=options.patience,
    )
    try:
        report = run(folder, wanted)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say("\n".join(report.lines()))
    if report.total:
        _say(f"Broken with seed {seed} on {database}; the logs are in {folder}.\n")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        _say("Every row is what the org says, and none went back.\n")
    return report.total


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
