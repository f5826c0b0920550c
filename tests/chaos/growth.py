"""Measures the processes' memory, descriptors, connections and threads, and judges their growth."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from tests.chaos.services import Service

#: How much more the last quarter may hold than the first.
MEMORY_SHARE = 0.10
#: A poll that is just being reopened is no leak.
FEW = 1
#: Nor is a pool of connections that fills up: Celery's grows to ten, one for each thread that
#: publishes at the same moment. More than that is a leak, as is growth in the second half.
POOL = 10
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
    """The medians of the first, the third and the last quarter of the samples."""

    process: str
    measure: str
    first: float
    third: float
    last: float

    @property
    def is_too_much(self) -> bool:
        if self.measure == "memory":
            return self.last > self.first * (1 + MEMORY_SHARE)
        return self.last > min(self.third + FEW, self.first + POOL)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_too_much": self.is_too_much}

    def __str__(self) -> str:
        if self.measure == "memory":
            shown = [f"{number / 2**20:.1f} MiB" for number in self._medians]
        else:
            shown = [f"{number:g}" for number in self._medians]
        return f"{self.process:20} {self.measure:12}" + "".join(f"{text:>12}" for text in shown)

    @property
    def _medians(self) -> tuple[float, float, float]:
        return self.first, self.third, self.last


def read(services: Iterable[Service], at: float) -> list[Sample]:
    """Return a sample of each service's process and of each of its children."""
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
    """Return the growth of each process and measure, without processes that have under four
    samples."""
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
    parts = (numbers[:quarter], numbers[-2 * quarter : -quarter], numbers[-quarter:])
    first, third, last = map(statistics.median, parts)
    return Growth(name, measure, first, third, last)
