"""`python -m tests.chaos.interleave`: runs every combination of database, order and on_dead; exits
with 1 if a copy differs from the org."""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
from itertools import product
from typing import Any

from tests.chaos.interleave.ending import end
from tests.chaos.services import ROOT
from tests.servers import missing_postgres

DATABASES = ("sqlite", "postgres")
#: Ordering, on_dead and workers. Without an order no change waits for another, and changes are
#: applied in the right order only if a single worker handles one after the other.
KINDS = (("per_record", "continue", 3), ("per_record", "halt", 3), ("unordered", "continue", 1))


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, end)
    if "postgres" in options.database and (missing := missing_postgres()):
        sys.stderr.write(f"{missing}\n")
        return 1
    results = [
        _run(database, kind, seed, options)
        for seed in range(options.seed, options.seed + options.seeds)
        for database, kind in product(options.database, KINDS)
        if f"{kind[0]}-{kind[1]}" in options.kind
    ]
    return 1 if any(results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos.interleave", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(10_000), help="the same writes and acts again")
    add("--seeds", type=int, default=1, help="so many seeds, from that one on")
    add("--changes", type=int, default=5_000)
    add("--records", type=int, default=100)
    add("--database", nargs="+", choices=DATABASES, default=list(DATABASES))
    kinds = [f"{ordering}-{on_dead}" for ordering, on_dead, _ in KINDS]
    add("--kind", nargs="+", choices=kinds, default=kinds)
    return parser.parse_args()


def _run(database: str, kind: tuple[str, str, int], seed: int, options: argparse.Namespace) -> int:
    """Run one combination, and return its exit code, 1 if a copy differs."""
    ordering, on_dead, workers = kind
    wanted: dict[str, Any] = {
        "seed": seed,
        "database": database,
        "ordering": ordering,
        "on_dead": on_dead,
        "workers": workers,
        "changes": options.changes,
        "records": options.records,
    }
    command = [sys.executable, "-m", "tests.chaos.interleave.play", json.dumps(wanted)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as play:
        try:
            return play.wait()
        finally:
            play.terminate()  # when this is given up: it ends what it has started


if __name__ == "__main__":
    sys.exit(main())
