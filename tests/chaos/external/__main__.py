"""`python -m tests.chaos.external`: tracked tasks of another Celery project, in a virtual
environment of its own, while its workers are killed and its broker is flushed and restarted; exit 1
if an outcome is wrong, the order was broken, or a task ran twice without a reason."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.brokers import missing_rabbitmq
from tests.chaos.external.environments import OWN, PACKAGES
from tests.chaos.external.play import run
from tests.chaos.external.report import Report
from tests.chaos.external.stage import Wanted
from tests.chaos.interleave.ending import end
from tests.servers import missing_postgres

BROKERS = ("redis", "rabbitmq")
RESULTS = ("without", "with")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, end)
    missing = missing_postgres() if options.database == "postgres" else ""
    missing = missing or (missing_rabbitmq() if "rabbitmq" in options.broker else "")
    if missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    reports = []
    for celery, broker, results in itertools.product(
        options.celery, options.broker, options.results
    ):
        reports.append(_run(_wanted(options, celery, broker, results)))
        if options.report:
            text = json.dumps([report.as_json() for report in reports], indent=1)
            options.report.write_text(text + "\n")
    return 1 if any(report.total for report in reports) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos.external", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(10_000), help="the same faults once more")
    add("--celery", nargs="+", choices=[OWN, *PACKAGES], default=list(PACKAGES))
    add("--broker", nargs="+", choices=BROKERS, default=list(BROKERS))
    add("--results", nargs="+", choices=RESULTS, default=list(RESULTS), help="a result backend")
    add("--changes", type=int, default=20_000)
    add("--records", type=int, default=500)
    add("--kills", type=int, default=8, help="of a worker, with SIGKILL")
    add("--flushes", type=int, default=1)
    add("--restarts", type=int, default=1, help="of a broker that keeps nothing")
    add("--listener-kills", type=int, default=0, help="of one of then two listeners")
    add("--report-timeout", type=int, default=20, help="seconds, of the mapping, 10 at least")
    add("--database", choices=["postgres", "sqlite"], default="postgres")
    add("--workers", type=int, default=2, help="of the other project, with one process each")
    add("--patience", type=float, default=120.0, help="seconds in which nothing moves")
    add("--report", type=Path, metavar="FILE", help="write the results there, as JSON")
    add("--keep", action="store_true", help="keep the logs of a good run too")
    return parser.parse_args()


def _wanted(options: argparse.Namespace, celery: str, broker: str, results: str) -> Wanted:
    return Wanted(
        seed=options.seed,
        celery=celery,
        broker=broker,
        has_results=results == "with",
        changes=options.changes,
        records=options.records,
        kills=options.kills,
        flushes=options.flushes,
        restarts=options.restarts,
        listener_kills=options.listener_kills,
        report_timeout=options.report_timeout,
        database=options.database,
        workers=options.workers,
        patience=options.patience,
        is_kept=options.keep,
    )


def _run(wanted: Wanted) -> Report:
    """The logs of a run with a violation are kept."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-external-"))
    try:
        report = run(folder, wanted)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say("\n".join(report.lines()))
    if report.total:
        _say(f"Broken with seed {wanted.seed}; the logs are in {folder}.\n")
        return report
    if wanted.is_kept:
        _say(f"The logs are in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    _say("Every outcome is right, in order, and nothing ran twice without a reason.\n")
    return report


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
