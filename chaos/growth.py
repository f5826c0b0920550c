"""What processes hold, measured from outside, and whether it grows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from chaos.services import Service

#: How much more the last quarter may hold than the first.
MEMORY_SHARE = 0.10
#: A poll that is just being opened anew is no leak.
FEW = 1
MEASURES = ("memory", "descriptors", "connections", "threads")


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment. `memory` is resident, in bytes; `at` in seconds."""

    at: float
    process: str
    memory: int
    descriptors: int
    connections: int
    threads: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Growth:
    """The medians of the first and the last quarter of the samples."""

    process: str
    measure: str
    first: float
    last: float

    @property
    def is_too_much(self) -> bool:
        most = self.first * (1 + MEMORY_SHARE) if self.measure == "memory" else self.first + FEW
        return self.last > most

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_too_much": self.is_too_much}

    def __str__(self) -> str:
        if self.measure == "memory":
            first, last = (f"{number / 2**20:.1f} MiB" for number in (self.first, self.last))
        else:
            first, last = f"{self.first:g}", f"{self.last:g}"
        return f"{self.process:20} {self.measure:12} {first:>12} {last:>12}"


def read(services: Iterable[Service], at: float) -> list[Sample]:
    """Each service's process, and its children by number."""
    samples: list[Sample] = []
    for service in services:
        for number, process in enumerate(service.tree()):
            name = f"{service.name}, child {number}" if number else service.name
            with suppress(psutil.NoSuchProcess):
                samples.append(_measured(at, name, process))
    return samples


def _measured(at: float, name: str, process: psutil.Process) -> Sample:
    with process.oneshot():
        return Sample(
            at=round(at, 1),
            process=name,
            memory=process.memory_info().rss,
            descriptors=process.num_fds(),
            connections=len(process.net_connections("all")),
            threads=process.num_threads(),
        )


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """One for each process and measure; none of a process with less than four samples."""
    by_process: dict[str, list[Sample]] = {}
    for sample in samples:
        by_process.setdefault(sample.process, []).append(sample)
    return [
        _growth(name, measure, of_process)
        for name, of_process in by_process.items()
        if len(of_process) >= 4
        for measure in MEASURES
    ]


def _growth(name: str, measure: str, samples: Sequence[Sample]) -> Growth:
    quarter = len(samples) // 4
    numbers = [getattr(sample, measure) for sample in samples]
    first, last = (statistics.median(part) for part in (numbers[:quarter], numbers[-quarter:]))
    return Growth(name, measure, first, last)
