"""`python -m benchmarks [WHAT]`: measures the whole system, and prints a table.

Without WHAT, all that matter. The exit code is 0 for any figures: only the table judges them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import (
    backlog,
    chains,
    edits,
    end_to_end,
    external,
    growth,
    latency,
    many_listeners,
    memory,
    mirror_apply,
    mirror_load,
    mirror_verify,
    reading,
    retention,
    scale,
    start_up,
    status,
    storage,
    wide_event,
)
from benchmarks.figures import Report
from benchmarks.stage import Conditions, Stage
from benchmarks.turns import say
from tests.chaos.__main__ import end

Measure = Callable[[Stage, Report, argparse.Namespace], None]
TRANSPORTS = ["cometd", "pubsub"]


def _backlog(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transports = [options.transport] if options.transport else TRANSPORTS
    backlog.measure(stage, report, transports, options.changes or 100_000, options.runs)


def _end_to_end(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transport = options.transport or "cometd"
    end_to_end.measure(
        stage,
        report,
        transport,
        changes=options.changes or 30_000,
        runs=options.runs,
        workers=options.workers,
    )


def _chains(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transport = options.transport or "cometd"
    chains.measure(stage, report, transport, options.changes or 100_000, options.runs)


def _edits(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    edits.measure(stage, report, options.changes or 1_000_000)


def _external(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transport = options.transport or "cometd"
    external.measure(stage, report, transport, options.changes or 20_000, options.runs)


def _reading(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    reading.measure(stage, report, options.changes or 100_000, options.runs)


def _latency(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    latency.measure(
        stage,
        report,
        options.transport or "cometd",
        rates=options.rates,
        seconds=options.seconds,
        runs=options.runs,
    )


def _memory(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    changes = options.changes or (1_000_000 if options.long else 30_000)
    memory.measure(stage, report, options.transport or "cometd", changes)


def _storage(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    storage.measure(stage, report, options.transport or "cometd", options.changes or 100_000)


def _mirror_load(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    mirror_load.measure(stage, report, options.changes or 500_000, options.runs)
    if options.long:
        mirror_load.measure_memory(stage, report)


def _growth(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    entries = options.entries or (10_000_000 if options.long else 300_000)
    growth.measure(
        stage,
        report,
        options.transport or "cometd",
        entries=entries,
        changes=options.changes or 50_000,
        runs=options.runs,
    )


def _scale(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transport = options.transport or "cometd"
    scale.measure(stage, report, transport, options.changes or 10_000, options.runs)


def _retention(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    retention.measure(
        stage,
        report,
        options.transport or "cometd",
        entries=options.entries or 100_000,
        seconds=options.seconds,
        runs=options.runs,
    )


def _wide_event(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    transports = [options.transport] if options.transport else TRANSPORTS
    wide_event.measure(stage, report, transports, options.changes or 5000, options.runs)


def _many_listeners(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    events = options.changes or 500
    many_listeners.measure(stage, report, options.transport or "cometd", options.listeners, events)


def _start_up(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    start_up.measure(stage, report, options.transport or "cometd", options.runs)


def _status(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    status.measure(stage, report, options.runs)


def _mirror_apply(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    mirror_apply.measure(stage, report, options.changes or 50_000, options.runs)


def _mirror_verify(stage: Stage, report: Report, options: argparse.Namespace) -> None:
    mirror_verify.measure(stage, report, options.changes or 500_000, options.runs)


MEASURES: Mapping[str, Measure] = {
    "simulator": _reading,
    "backlog": _backlog,
    "end-to-end": _end_to_end,
    "chains": _chains,
    "external": _external,
    "edits": _edits,
    "latency": _latency,
    "wide-event": _wide_event,
    "start-up": _start_up,
    "many-listeners": _many_listeners,
    "memory": _memory,
    "storage": _storage,
    "growth": _growth,
    "retention": _retention,
    "scale": _scale,
    "status": _status,
    "mirror-load": _mirror_load,
    "mirror-apply": _mirror_apply,
    "mirror-verify": _mirror_verify,
}


#: Further databases and brokers of some measurements, besides PostgreSQL with Valkey.
ELSEWHERE = (("sqlite", "valkey"), ("postgres", "rabbitmq"))


def main() -> int:
    options = chosen()
    signal.signal(signal.SIGTERM, end)
    report = Report(conditions={"durable": str(not options.hasty)})
    for name, database, broker in _plan(options):
        conditions = Conditions(database, broker, not options.hasty, options.folder)
        _measure(report, name, conditions, options)
        if options.report:  # what is there is not lost with what comes
            options.report.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    print("\n".join(report.lines()))
    return 0


def _plan(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Return the measurements to run, each as (name, database, broker)."""
    here = (options.database, options.broker)
    if options.what != "all":
        return [(options.what, *here)]
    elsewhere = [(name, *there) for there in ELSEWHERE for name in ("backlog", "end-to-end")]
    return [(name, *here) for name in MEASURES] + elsewhere


def _measure(
    report: Report, name: str, conditions: Conditions, options: argparse.Namespace
) -> None:
    """Run one measurement. A failure is reported, and the other measurements still run."""
    started = time.monotonic()
    try:
        with Stage(conditions).open() as stage:
            MEASURES[name](stage, report, options)
    except Exception as error:
        report.failures[f"{name}, {conditions}"] = f"{type(error).__name__}: {error}"
    say(f"{name}, {conditions}: {time.monotonic() - started:.0f} s")


def chosen(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the given arguments, or those of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["all", *MEASURES])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--changes", type=int)
    parser.add_argument("--transport", choices=TRANSPORTS)
    parser.add_argument("--database", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--broker", choices=["valkey", "rabbitmq"], default="valkey")
    parser.add_argument("--hasty", action="store_true", help="run PostgreSQL without fsync")
    parser.add_argument(
        "--rates", type=int, nargs="+", default=latency.RATES, help="changes per second, of latency"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="duration of each rate of latency, and of the changes without pruning",
    )
    parser.add_argument(
        "--entries", type=int, help="size of the full audit log, or of what is pruned"
    )
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument(
        "--workers", type=int, default=end_to_end.WORKERS, help="number of workers, of end-to-end"
    )
    parser.add_argument(
        "--long", action="store_true", help="measure a million changes and ten million rows too"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep PostgreSQL's data with the full audit log here"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write the report to this file, as JSON"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
