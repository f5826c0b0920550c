"""A run's result, for readers and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import psutil

from tests.chaos.watch import Pause

SHOWN = 10


def machine_name() -> str:
    gigabytes = psutil.virtual_memory().total / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {gigabytes:.0f} GiB"


def package_versions() -> dict[str, str]:
    packages = ("Django", "celery", "kombu", "redis", "psycopg", "amqp", "grpcio")
    return {"Python": platform.python_version(), **{name: version(name) for name in packages}}


@dataclass(slots=True)
class Report:
    """The result of a run. Violations are lists of texts by kind; without any the run is good."""

    seed: int
    transport: str
    broker: str
    database: str
    seconds: float
    recovery_seconds: float
    faults: Mapping[str, int]
    counts: Mapping[str, int]
    restarts: Mapping[str, int]
    pauses: Sequence[Pause]
    violations: Mapping[str, Sequence[str]]
    unforeseen: Mapping[str, int] = field(default_factory=dict)
    machine: str = field(default_factory=machine_name)
    versions: Mapping[str, str] = field(default_factory=package_versions)

    @property
    def total(self) -> int:
        return sum(map(len, self.violations.values()))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the lines of the report's table."""
        rows: list[tuple[str, object]] = [
            ("seed", self.seed),
            ("transport", self.transport),
            ("machine", self.machine),
            ("versions", ", ".join(f"{name} {number}" for name, number in self.versions.items())),
            ("database, broker", f"{self.database}, {self.broker}"),
            ("seconds in all", f"{self.seconds:.0f}"),
            ("  to recover after the last fault", f"{self.recovery_seconds:.1f}"),
            *self.counts.items(),
            ("faults", sum(self.faults.values())),
            *((f"  {kind}", count) for kind, count in sorted(self.faults.items())),
            ("restarts", ", ".join(f"{name} {n}" for name, n in self.restarts.items())),
            ("unforeseen errors logged", sum(self.unforeseen.values())),
            *((f"  {count}", text) for text, count in self.unforeseen.items()),
            *((f"longest pause in {p.what}", _pause(p)) for p in self.pauses),
            ("violations", self.total),
            *((f"  {kind}", len(found)) for kind, found in self.violations.items()),
        ]
        return [f"{name:38} {value}" for name, value in rows] + self._first_violations()

    def _first_violations(self) -> list[str]:
        first = [
            f"{kind}: {text}" for kind, found in self.violations.items() for text in found[:SHOWN]
        ]
        return first[: 2 * SHOWN]


def _pause(pause: Pause) -> str:
    return f"{pause.seconds} s ({', '.join(pause.faults) or 'no fault'})"
