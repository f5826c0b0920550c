"""Make connections, listeners and handler mappings match a YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from audit.action_log import Actor
from audit.log.throughput import replay_cost
from consumer.configuration.desired_state import wanted_of
from consumer.configuration.errors import ConfigurationRefused, Problem, Problems
from consumer.configuration.plan import Plan, plan
from consumer.configuration.yaml_tree import parse
from listeners.models import Listener, Position
from listeners.salesforce.events import PRESETS


@dataclass(frozen=True)
class Applied:
    """The result of applying a file."""

    #: The lines of the diff, without secrets.
    lines: list[str]
    #: Warnings about the configuration, and notes.
    warnings: list[str]


def apply_file(
    path: str,
    *,
    dry_run: bool = False,
    prune: bool = False,
    allow_unknown_handlers: bool = False,
) -> Applied:
    """Apply the file in one transaction, never inside another. Raises ConfigurationRefused, and
    then changes nothing.

    Locks the stored configuration, and writes only rows that differ from the file.
    """
    problems = Problems()
    wanted = wanted_of(parse(_text(path), problems), problems)
    try:
        with transaction.atomic(durable=True):
            planned = plan(
                wanted, problems, prune=prune, allow_unknown_handlers=allow_unknown_handlers
            )
            if problems:
                raise ConfigurationRefused(path, problems.sorted())
            if not dry_run:
                by = Actor.at_the_shell()
                for step in planned.steps:
                    step.noted(by)
    except (IntegrityError, ProtectedError):
        changed = Problem(1, "the database changed at the same time; apply the file again")
        raise ConfigurationRefused(path, [changed]) from None
    return _applied(path, planned, [*costs(planned.listeners, timezone.now())] if dry_run else [])


def _applied(path: str, planned: Plan, notes: list[str]) -> Applied:
    lines = [step.text for step in planned.steps if step.text] or ["= nothing to change"]
    lines += planned.kept
    warnings = [f"{path}:{warning.line}: {warning.text}" for warning in planned.warnings]
    return Applied(lines, [*warnings, *planned.notes, *notes])


def _text(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationRefused(
            path, [Problem(1, f"the file cannot be read: {error.strerror}")]
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationRefused(
            path, [Problem(line, "not UTF-8; save the file in that encoding")]
        ) from None


_EARLIEST = PRESETS[1]


def costs(listeners: Sequence[Listener], now: datetime) -> Iterator[str]:
    """Yield a line about the cost for each listener that will start at the earliest event."""
    named = Position.objects.exclude(replay_id__in=["", *PRESETS]).values_list("pk", flat=True)
    stored = set(named)
    for listener in listeners:
        if listener.enabled and listener.first_replay == _EARLIEST and listener.pk not in stored:
            yield f"listener {listener.name} starts at earliest. {replay_cost(listener, now)}"
