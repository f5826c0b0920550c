"""The periodic checks that open and close incidents from evidence in the database.

They run in every listener process and as a beat task, so that they also run without a listener.
Several processes may run them at once: an incident is still opened and closed once.
"""

from __future__ import annotations

from datetime import datetime

from consumer.monitoring import auto_close, dead_letters, outages, position_age, quarantine, stopped
from consumer.monitoring.snapshot import Watched, scene
from handlers.messages import unknown_tasks

__all__ = ["Watched", "watch"]


def watch(now: datetime) -> list[Watched]:
    """Check every listener, and return the snapshots. Never inside a transaction."""
    seen = scene(now)
    for watched in seen:
        stopped.look(watched, now)
        outages.look(watched, now)
        position_age.look(watched, now)
        auto_close.look(watched, now)
        quarantine.look(watched, now)
    dead_letters.look(seen, now)
    unknown_tasks.close_when_none_is_kept(now)
    return seen
