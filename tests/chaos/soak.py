"""`python -m tests.chaos.soak`: a long steady load; exits with 1 if memory, descriptors or threads
grow."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chaos.__main__ import end
from tests.chaos.brokers import Valkey
from tests.chaos.growth import Growth, Sample, growths, read
from tests.chaos.report import machine_name, package_versions
from tests.chaos.stage import Size, Stage
from tests.chaos.traffic import OWN, Traffic
from tests.chaos.transports import COMETD, PUBSUB
from tests.servers import missing_postgres

SAMPLE_SECONDS = 10.0
WARM_UP_SECONDS = 180.0
PATIENCE_SECONDS = 60.0
# All changes are recorded; of those that go to a handler there are as many as two workers can do
# beside everything else on two cores.
SIZE = Size(
    ("everything",),
    listeners=1,
    workers=2,
    failure_rate=0,
    settings="cdcproject.settings",
    can_be_cut=False,
    handled=OWN,
)
_COUNTS = """
SELECT (SELECT count(*) FROM audit_auditlogentry), (SELECT count(*) FROM chaos_effect),
       (SELECT count(*) FROM handlers_delivery),
       (SELECT count(*) FROM handlers_delivery WHERE state <> 'succeeded')
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second")
    parser.add_argument("--transport", choices=[COMETD, PUBSUB], default=COMETD)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write it there, as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, end)
    if missing := missing_postgres():
        _say(missing)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="cdc-soak-"))
    size = dataclasses.replace(SIZE, transport=options.transport)
    report, lines = soak(folder, size, options.minutes * 60, options.rate)
    _say("\n".join(lines))
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    if report["violations"]:
        _say(f"The logs are in {folder}.")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def soak(folder: Path, size: Size, seconds: float, rate: float) -> tuple[dict[str, Any], list[str]]:
    """Run the load, and return the report for JSON and the lines of the table."""
    warm_up = min(WARM_UP_SECONDS, seconds / 4)
    with Stage(folder, Valkey(folder / "broker"), size) as stage:
        traffic = Traffic(stage.org, 1, int(rate * seconds), seconds)
        traffic.start()
        samples = _sample(stage, traffic, min(SAMPLE_SECONDS, seconds / 30))
        behind = _backlog(stage)
        flaws = _flaws(stage, traffic)
    found = growths([sample for sample in samples if sample.at >= warm_up])
    flaws += [str(growth) for growth in found if growth.is_too_much]
    report = _report(seconds, rate, samples, found, flaws) | {"backlog at the end": behind}
    return report, _lines(seconds, traffic, behind, found, flaws)


def _flaws(stage: Stage, traffic: Traffic) -> list[str]:
    """Return the run's flaws apart from growth, once all published changes are handled."""
    recorded, handled, due, left = _finished(stage, traffic.published)
    flaws = [traffic.failure] if traffic.failure else []
    if left or recorded != traffic.published or handled != due:
        flaws.append(
            f"{traffic.published} published, {recorded} recorded, {handled} of {due} handled"
        )
    return flaws + [
        f"{service.name} ended and was restarted" for service in stage.services if service.restarts
    ]


def _backlog(stage: Stage) -> int:
    """Return the number of deliveries that have not succeeded."""
    with stage.connect() as connection:
        return int((connection.execute(_COUNTS).fetchone() or (0, 0, 0, 0))[3])


def _sample(stage: Stage, traffic: Traffic, every: float) -> list[Sample]:
    """Return samples of all processes, taken while the traffic lasts."""
    samples: list[Sample] = []
    started = time.monotonic()
    while traffic.is_alive():
        traffic.join(every)
        samples += read(stage.services, time.monotonic() - started)
    return samples


def _finished(stage: Stage, published: int) -> tuple[int, int, int, int]:
    """Wait until nothing more happens; return the numbers of recorded, handled and expected
    changes, and of deliveries left."""
    before, since = (0, 0, 0, 0), time.monotonic()
    with stage.connect() as connection:
        while True:
            recorded, handled, due, left = connection.execute(_COUNTS).fetchone() or (0, 0, 0, 0)
            if (recorded, handled, due, left) != before:
                before, since = (recorded, handled, due, left), time.monotonic()
            done = recorded == published and handled == due and not left
            if done or time.monotonic() - since > PATIENCE_SECONDS:
                return before
            time.sleep(0.5)


def _report(
    seconds: float, rate: float, samples: list[Sample], found: list[Growth], flaws: list[str]
) -> dict[str, Any]:
    return {
        "machine": machine_name(),
        "versions": package_versions(),
        "seconds": seconds,
        "rate": rate,
        "growth": [growth.as_json() for growth in found],
        "violations": flaws,
        "samples": [sample.as_json() for sample in samples],
    }


def _lines(
    seconds: float, traffic: Traffic, behind: int, found: list[Growth], flaws: list[str]
) -> list[str]:
    return [
        f"{machine_name()}; {traffic.published} changes in {seconds:.0f} s, {behind} of them not "
        "handled by then; medians of the first, third and last quarter after the warm-up:",
        *map(str, found),
        *(f"BROKEN: {flaw}" for flaw in flaws),
    ]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
