"""Restrict the control commands of Celery that a worker executes.

Every client of the broker can send them. They must not show settings, stop a worker, end a run or
hold back deliveries.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.worker import control

log = structlog.get_logger(__name__)

#: Celery and Flower use these to show workers and tasks. The arguments of our tasks are ids.
ALLOWED = frozenset(
    {
        *("ping", "clock", "heartbeat", "enable_events", "disable_events"),
        *("active", "dump_active", "reserved", "dump_reserved", "scheduled", "dump_schedule"),
        *("registered", "dump_tasks", "revoked", "dump_revoked", "query_task"),
        *("active_queues", "stats"),
    }
)
_SHOWN_OF_THE_BROKER = ("transport", "hostname", "port", "virtual_host")
_celerys_stats = control.stats


class _Commands(dict[str, Any]):
    """The commands by name. Any other command is refused."""

    def __missing__(self, name: str) -> Any:
        def refuse(_: Any, **__: Any) -> dict[str, str]:
            log.warning("control command refused", command=str(name)[:100])
            return {"error": "This worker does not support this command."}

        return refuse


def restrict() -> None:
    """Remove all other commands of Celery, but not those that a user's app has added."""
    panel = control.Panel
    panel.data = _Commands(
        (name, command)
        for name, command in panel.data.items()
        if command.__module__ != control.__name__ or name in ALLOWED
    )
    for name in panel.meta.keys() - panel.data.keys():
        del panel.meta[name]
    panel.data["stats"] = stats


def stats(state: Any, **_: Any) -> Any:
    """Return Celery's stats without the broker connection's options, which may have passwords."""
    found = _celerys_stats(state)
    broker = found.get("broker")
    if isinstance(broker, dict):
        found["broker"] = {name: broker.get(name) for name in _SHOWN_OF_THE_BROKER}
    return found
