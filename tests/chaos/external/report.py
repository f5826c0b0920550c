"""A run's result, for readers and as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.report import machine_name, package_versions

SHOWN = 10


@dataclass(slots=True)
class Report:
    """Violations are lists of texts by kind; without any, the run was good."""

    seed: int
    combination: str
    versions: str
    broker: str
    database: str
    seconds: float
    handling_seconds: float
    faults: Mapping[str, int]
    counts: Mapping[str, int]
    violations: Mapping[str, Sequence[str]]
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    machine: str = field(default_factory=machine_name)

    @property
    def total(self) -> int:
        return sum(map(len, self.violations.values()))

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"product": package_versions()}

    def lines(self) -> list[str]:
        """Return the lines of the report's table."""
        rate = self.counts.get("changes", 0) / self.handling_seconds
        rows: list[tuple[str, object]] = [
            ("combination", self.combination),
            ("the other project", self.versions),
            ("broker, database", f"{self.broker}, {self.database}"),
            ("seed", self.seed),
            ("machine", f"{self.machine}, load {self.load:.1f}"),
            ("seconds in all", f"{self.seconds:.0f}"),
            ("  until every delivery ended", f"{self.handling_seconds:.0f} ({rate:.0f} changes/s)"),
            *sorted(self.counts.items()),
            *((f"  {kind}", count) for kind, count in sorted(self.faults.items())),
            ("violations", self.total),
            *((f"  {kind}", len(found)) for kind, found in self.violations.items()),
        ]
        first = [
            f"{kind}: {text}" for kind, found in self.violations.items() for text in found[:SHOWN]
        ]
        return [f"{name:46} {value}" for name, value in rows] + first[: 2 * SHOWN]
