"""What a check of a connection finds, line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto


class Step(StrEnum):
    NOTE = auto()
    LOGIN = auto()
    ORG = auto()  # where the login led to, and what the org says of itself
    CHANNEL = auto()


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
    """As many as come in this time: nobody looks at a page for ever."""
    ends = monotonic() + seconds
    for finding in findings:
        yield finding
        if monotonic() > ends:
            yield Finding(
                f"That took more than {seconds:.0f} seconds: what may be left was not tried.",
                is_failure=True,
            )
            return
