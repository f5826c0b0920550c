"""A run's result, for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHOWN = 12


@dataclass(slots=True)
class Report:
    """The result of a run. Violations are lists of texts by kind; without any the run is good."""

    seed: int
    database: str
    counts: Mapping[str, object]
    violations: Mapping[str, Sequence[str]]

    @property
    def total(self) -> int:
        return sum(map(len, self.violations.values()))

    def lines(self) -> list[str]:
        rows: list[tuple[str, object]] = [
            ("seed", self.seed),
            ("database", self.database),
            *self.counts.items(),
            ("violations", self.total),
            *((f"  {kind}", len(found)) for kind, found in self.violations.items() if found),
        ]
        first = [
            f"{kind}: {text}" for kind, found in self.violations.items() for text in found[:SHOWN]
        ]
        return [f"{name:34} {_text(value)}" for name, value in rows] + first


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items()))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
