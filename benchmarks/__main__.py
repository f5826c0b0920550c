"""`python -m benchmarks [WHAT]`: measures the whole system, and prints a table.

Without WHAT, all that matter. Exits with 0 whatever the figures are: it judges in the table only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import backlog
from benchmarks.figures import Figure, Report
from benchmarks.stage import Conditions, Stage

Measure = Callable[[Stage, argparse.Namespace], list[Figure]]


def _backlog(stage: Stage, options: argparse.Namespace) -> list[Figure]:
    return backlog.measure(stage, options.changes or 100_000, options.runs)


MEASURES: Mapping[str, Measure] = {"backlog": _backlog}


def main() -> int:
    options = _options()
    report = Report()
    conditions = Conditions(
        transport=options.transport,
        database=options.database,
        broker=options.broker,
        durable=not options.hasty,
    )
    for name, measure in MEASURES.items():
        if options.what in (name, "all"):
            _measure(report, name, measure, conditions, options)
    print("\n".join(report.lines()))
    if options.report:
        options.report.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    return 0


def _measure(
    report: Report,
    name: str,
    measure: Measure,
    conditions: Conditions,
    options: argparse.Namespace,
) -> None:
    """One that fails takes no other with it."""
    started = time.monotonic()
    try:
        with Stage(conditions).open() as stage:
            report.figures += measure(stage, options)
    except Exception as error:
        report.failures[name] = f"{type(error).__name__}: {error}"
    report.conditions = dataclasses.asdict(conditions)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["all", *MEASURES])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--changes", type=int)
    parser.add_argument("--transport", choices=["cometd", "pubsub"], default="cometd")
    parser.add_argument("--database", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--broker", choices=["valkey", "rabbitmq"], default="valkey")
    parser.add_argument("--hasty", action="store_true", help="a PostgreSQL that is not durable")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write it there, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
