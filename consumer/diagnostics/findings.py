"""Findings of the check of a connection or destination, one line each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto


class Step(StrEnum):
    """The step of the check that a finding belongs to."""

    NOTE = auto()
    LOGIN = auto()
    ORG = auto()  # the instance, the org's id, versions and limits
    CHANNEL = auto()
    BROKER = auto()
    WORKERS = auto()  # of another project
    RESULTS = auto()  # the result backend of another project


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    text: str
    is_failure: bool = False
    step: Step = field(default=Step.NOTE, compare=False)


def within(
    findings: Iterable[Finding],
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Finding]:
    """Yield the findings that arrive within `seconds`, then a failure if the time ran out."""
    ends = monotonic() + seconds
    for finding in findings:
        yield finding
        if monotonic() > ends:
            yield Finding(
                f"The check took more than {seconds:.0f} seconds; remaining steps were not tried.",
                is_failure=True,
            )
            return
