"""The org's daily API calls: mirrors leave a tenth of them to others."""

from __future__ import annotations

from typing import Protocol

from mirror.runs import Later

#: The used share of the daily calls from which runs and reads of dirty records pause.
PAUSE_FROM = 0.9
#: Seconds until the use is looked at again: the limit is of the last 24 hours.
PAUSE = 900.0


class HasUsage(Protocol):
    @property
    def usage(self) -> tuple[int, int] | None: ...


def pause(*clients: HasUsage) -> Later | None:
    """Return the pause if the org's daily calls are nearly used up, by the last answers."""
    for client in clients:
        if client.usage is None:
            continue
        used, allowed = client.usage
        if allowed > 0 and used >= PAUSE_FROM * allowed:
            return Later(
                PAUSE,
                f"the org's daily API calls: {used:,} of {allowed:,} are used, and mirrors leave "
                f"{1 - PAUSE_FROM:.0%} to others",
            )
    return None
