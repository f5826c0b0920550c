"""Which of Celery's control commands a worker obeys.

Anyone who can write to the broker can send them. They must not show settings, stop a worker, end a
run or hold deliveries back.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.worker import control

log = structlog.get_logger(__name__)

#: With these Celery and Flower show workers and tasks. Arguments of our tasks are ids.
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
    """The commands by name. Any other name answers that there is no such command."""

    def __missing__(self, name: str) -> Any:
        def refuse(_: Any, **__: Any) -> dict[str, str]:
            log.warning("control command refused", command=str(name)[:100])
            return {"error": "This worker has no such command."}

        return refuse


def restrict() -> None:
    """Take out all others that Celery brings along; those that a user's own app adds stay."""
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
    """Celery's own, without the options of the broker's connection: those may hold passwords."""
    found = _celerys_stats(state)
    broker = found.get("broker")
    if isinstance(broker, dict):
        found["broker"] = {name: broker.get(name) for name in _SHOWN_OF_THE_BROKER}
    return found
