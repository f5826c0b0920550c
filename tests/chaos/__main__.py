"""`python -m tests.chaos`: random faults while the org writes; exits with 1 if an invariant is
broken."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.chaos.brokers import Broker, RabbitMQ, Valkey, missing_rabbitmq
from tests.chaos.report import Report
from tests.chaos.run import Wanted, run
from tests.chaos.services import PATIENCE_SECONDS
from tests.chaos.transports import CHOICES, COMETD
from tests.servers import missing_postgres

BROKERS: dict[str, Callable[[Path], Broker]] = {"valkey": Valkey, "rabbitmq": RabbitMQ}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, end)
    if missing := missing_postgres():
        _say(missing)
        return 1
    wanted = Wanted(
        seed=options.seed,
        changes=options.changes,
        seconds=options.seconds,
        every=options.every,
        patience=options.patience,
        transport=options.transport,
    )
    reports = [_run(name, wanted) for name in _brokers(options.broker)]
    if options.report:
        text = json.dumps([report.as_json() for report in reports], indent=1)
        options.report.write_text(text + "\n")
    return 1 if any(report.total for report in reports) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(10_000), help="the same faults once more")
    add("--changes", type=int, default=50_000, help="how many changes the org publishes")
    add("--seconds", type=float, default=300.0, help="how long faults and changes go on")
    add("--every", type=float, default=2.0, help="seconds between two faults, on average")
    add("--patience", type=float, default=PATIENCE_SECONDS, help="seconds in which nothing moves")
    add("--broker", choices=[*BROKERS, "both"], default="both")
    add("--transport", choices=CHOICES, default=COMETD, help="how the listeners hear the org")
    add("--report", type=Path, metavar="FILE", help="write the results there, as JSON")
    return parser.parse_args()


def _brokers(chosen: str) -> list[str]:
    names = list(BROKERS) if chosen == "both" else [chosen]
    if "rabbitmq" in names and (missing := missing_rabbitmq()):
        _say(f"Not run on RabbitMQ: {missing}")
        if names == ["rabbitmq"]:
            raise SystemExit(1)
        names.remove("rabbitmq")
    return names


def _run(broker: str, wanted: Wanted) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="cdc-chaos-"))
    _say(
        f"Chaos with {broker} on {wanted.transport}, seed {wanted.seed}: {wanted.changes} changes "
        f"and a fault every {wanted.every:g} s for {wanted.seconds:g} s, then recovery."
    )
    try:
        report = run(folder, BROKERS[broker](folder / "broker"), wanted)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say("\n".join(report.lines()))
    if report.total:
        _say(f"Broken with seed {wanted.seed}; the logs are in {folder}.\n")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        _say("Every change was recorded once and handled, in order.\n")
    return report


def end(*_: object) -> NoReturn:
    """Raise SystemExit out of the middle of a run, so that its processes are stopped."""
    raise SystemExit(143)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
