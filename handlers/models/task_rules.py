"""Validation of the settings that a mapping has for an external task alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings

from handlers.rules.task_options import TaskOptions, task_option_flaws
from listeners.models.connection_rules import default_of

if TYPE_CHECKING:
    from django.db.models import Model

_OF_TRACKED_TASKS = ("report_timeout", "on_unknown")


def option_flaws(mapping: Any) -> list[str]:
    """Return what is wrong with a task's options, or with what they need elsewhere."""
    if flaws := task_option_flaws(mapping.options):
        return flaws
    options, due = TaskOptions.of(mapping.options), mapping.report_timeout
    if options.large_payload == "reference" and not settings.CDC_PUBLIC_URL:
        return ["large_payload: A reference needs the URL of this server; set CDC_PUBLIC_URL."]
    if mapping.track and isinstance(due, int) and (options.expires or 0) > due:
        return [
            f"expires: Give at most the report timeout, {due:,} seconds; a task expires then at "
            "the latest."
        ]
    return []


def setting_flaws(mapping: Any) -> dict[str, list[str]]:
    """Return a message for each setting of tasks that has no effect on a mapping, and for a queue
    of our own."""
    if not mapping.task:
        found = _changed(mapping, _OF_TRACKED_TASKS, "Only a tracked task uses this")
        if mapping.destination_id or mapping._state.fields_cache.get("destination"):
            found["destination"] = ["Only a task has a destination; leave this empty."]
        if not mapping.track:
            found["track"] = ["Only a task can be sent without tracking; leave this on."]
    elif not mapping.track:
        found = _changed(mapping, _OF_TRACKED_TASKS, "A task without tracking does not use this")
        if mapping.max_attempts is not None:
            found["max_attempts"] = ["A task without tracking is not retried; leave this empty."]
    else:
        found = {}
    if mapping.queue in (settings.CDC_REPORTS_QUEUE, settings.CDC_UNKNOWN_QUEUE):
        text = f"{mapping.queue} is read by this installation itself; choose another queue."
        found["queue"] = [text]
    return found


def _changed(mapping: Model, names: Sequence[str], reason: str) -> dict[str, list[str]]:
    defaults = {name: default_of(mapping, name) for name in names}
    return {
        name: [f"{reason}; leave it at {default}."]
        for name, default in defaults.items()
        if getattr(mapping, name) != default
    }
