"""Figures (medians with their spread), the targets they are compared with, and the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.report import machine_name, package_versions


@dataclass(frozen=True, slots=True)
class Target:
    """The limit that a figure should meet. `why` names the source of the limit."""

    limit: float
    why: str
    at_most: bool = False

    @classmethod
    def share_of(cls, values: Sequence[float], share: float, why: str) -> Target:
        """Return a target of at least `share` times the median of another figure's values."""
        return cls(share * statistics.median(values), why)

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {_number(self.limit)} ({self.why})"


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured once or more; the targets are for its median."""

    name: str
    unit: str
    values: tuple[float, ...]
    targets: tuple[Target, ...] = ()
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        met = (target.is_met(self.median) for target in self.targets)
        return ", ".join("met" if one else "MISSED" for one in met)

    def as_json(self) -> dict[str, Any]:
        found = {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "runs": list(self.values),
        }
        if self.targets:
            found["targets"] = [
                {"target": str(one), "met": one.is_met(self.median)} for one in self.targets
            ]
        return found | ({"note": self.note} if self.note else {})

    def row(self) -> tuple[str, ...]:
        spread = f"{_number(min(self.values))} - {_number(max(self.values))}"
        return (
            self.name,
            f"{_number(self.median)} {self.unit}",
            spread if len(self.values) > 1 else "",
            "; ".join([*map(str, self.targets), *filter(None, [self.note])]),
            self.verdict,
        )


@dataclass(slots=True)
class Report:
    """All figures of an invocation, and the measurements that failed, with the reason."""

    conditions: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": machine_name(),
            "versions": package_versions(),
            "conditions": self.conditions,
            "figures": [figure.as_json() for figure in self.figures],
            "failures": self.failures,
        }

    def lines(self) -> list[str]:
        """Return the report's lines: machine, versions, conditions and a Markdown table."""
        versions = ", ".join(f"{name} {number}" for name, number in package_versions().items())
        conditions = ", ".join(f"{name} {value}" for name, value in self.conditions.items())
        head = ("figure", "median", "min - max", "target or note", "verdict")
        rows = [head, ("---", "--:", "--:", "---", "---"), *(one.row() for one in self.figures)]
        failed = [f"FAILED: {name}: {why}" for name, why in self.failures.items()]
        return [machine_name(), versions, conditions, "", *markdown_table(rows), *failed]


def markdown_table(rows: Sequence[Iterable[str]]) -> list[str]:
    """Return the lines of a table whose second row aligns the columns."""
    return ["| " + " | ".join(row) + " |" for row in rows]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
