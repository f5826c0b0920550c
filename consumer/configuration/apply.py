"""Make the stored configuration match a file: parse → plan → apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from audit.action_log import Actor
from audit.log.record import with_history
from audit.log.throughput import replay_cost
from consumer.configuration.desired_state import Item, Wanted, wanted_of
from consumer.configuration.destinations import Destinations, as_wanted
from consumer.configuration.errors import ConfigurationRefused, Problem, Problems, suggestion
from consumer.configuration.mappings import check_registered, mapping_plan
from consumer.configuration.mirrors import listeners_of_mirrors, mirror_plan, mirrored_soon
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import CONNECTION, CONNECTION_KEY, LISTENER
from consumer.configuration.tasks import check_tasks_known, new_tasks
from consumer.configuration.yaml_tree import parse
from handlers.external.task_checks import Checks, check_tasks
from handlers.models import HandlerMapping
from listeners.connections.listener_warnings import warnings as listener_warnings
from listeners.models import Connection, Listener, Position
from listeners.models.connection_rules import warnings as connection_warnings
from listeners.salesforce.events import PRESETS
from listeners.values import save_fields
from mirror.models import Mirror
from mirror.requirements import Refused


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

    Locks the stored configuration, and writes only rows that differ from the file. A dry run that
    adds or removes mirrors writes too, and rolls back.
    """
    problems = Problems()
    wanted = wanted_of(parse(_text(path), problems), problems)
    task_checks = {} if problems else check_tasks(new_tasks(wanted), as_wanted(wanted))
    try:
        with transaction.atomic(durable=True):
            plan = _Plan(wanted, problems, task_checks)
            plan.make(prune=prune, allow_unknown_handlers=allow_unknown_handlers)
            if problems:
                raise ConfigurationRefused(path, problems.sorted())
            costs = list(plan.costs(timezone.now())) if dry_run else []
            # The steps before one of a mirror decide whether it can be added or removed.
            if not dry_run or any(isinstance(step.row, Mirror) for step in plan.steps):
                by = Actor.at_the_shell()
                for step in plan.steps:
                    step.noted(by)
            transaction.set_rollback(dry_run)
    except (IntegrityError, ProtectedError):
        changed = Problem(1, "the database changed at the same time; apply the file again")
        raise ConfigurationRefused(path, [changed]) from None
    except Refused as refused:  # a mirror that handlers follow, or two mirrors of one object
        raise ConfigurationRefused(path, [Problem(1, str(refused))]) from None
    lines = [step.text for step in plan.steps if step.text] or ["= nothing to change"]
    warnings = [f"{path}:{warning.line}: {warning.text}" for warning in sorted(plan.warnings)]
    return Applied([*lines, *plan.kept], [*warnings, *plan.notes, *costs])


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


class _Plan:
    """The changes that make the database match the file. Locks the stored configuration and writes
    nothing, inside the caller's transaction."""

    def __init__(self, wanted: Wanted, problems: Problems, task_checks: Checks) -> None:
        #: In execution order: rows before the rows that refer to them.
        self.steps: list[Step] = []
        self.warnings: list[Problem] = []
        self.notes: list[str] = []
        #: One line for each row that is not in the file and is kept.
        self.kept: list[str] = []
        self._wanted = wanted
        self._problems = problems
        self._task_checks = task_checks
        # The lock keeps out other writers, but not ingest.
        connections = Connection.objects.select_for_update(no_key=True).order_by("id")
        self._connections = {connection.name: connection for connection in connections}
        by_id = {connection.pk: connection for connection in self._connections.values()}
        self._destinations = Destinations(wanted, problems)
        self._listeners: dict[str, Listener] = {}
        for listener in Listener.objects.select_for_update(no_key=True).order_by("id"):
            listener.connection = by_id[listener.connection_id]
            self._listeners[listener.name] = listener

    def make(self, *, prune: bool, allow_unknown_handlers: bool) -> None:
        for name, item in self._wanted.connections.items():
            connection = self._connections.setdefault(name, Connection(name=name))
            label = f"connection {name}"
            self.steps += row_steps(connection, label, CONNECTION, item, self._problems)
            self._warn(item, label, connection_warnings(connection))
        self.steps += self._destinations.steps()
        for name, item in self._wanted.listeners.items():
            listener = self._listener(name, item)
            if item.handlers is not None:
                steps, kept = mapping_plan(
                    listener,
                    item.handlers,
                    self._problems,
                    prune=prune,
                    destinations=self._destinations.rows,
                    mirrored=mirrored_soon(self._wanted, name),
                )
                self.steps += steps
                self.kept += kept
                self.warnings += check_registered(
                    item.handlers, self._problems, allow_unknown=allow_unknown_handlers
                )
                self.warnings += check_tasks_known(
                    item.handlers,
                    self._task_checks,
                    self._problems,
                    allow_unknown=allow_unknown_handlers,
                )
            self._warn(item, f"listener {name}", listener_warnings(listener))
        steps, kept = mirror_plan(self._wanted, self._listeners, self._problems, prune=prune)
        self.steps += steps
        self.kept += kept
        if not self._problems:
            self._remove_unnamed(prune=prune)

    def costs(self, now: datetime) -> Iterator[str]:
        """Yield a line about the cost for each listener that will start at the earliest event."""
        begun = Position.objects.exclude(replay_id__in=["", *PRESETS])
        stored = set(begun.values_list("pk", flat=True))
        _, earliest = PRESETS
        for name in self._wanted.listeners:
            listener = self._listeners[name]
            if listener.enabled and listener.first_replay == earliest and listener.pk not in stored:
                yield f"listener {name} starts at earliest. {replay_cost(listener, now)}"

    def _warn(self, item: Item, label: str, warnings: Iterable[tuple[str, str]]) -> None:
        self.warnings += [
            Problem(item.line_of(field), f"{label}: {text}") for field, text in warnings
        ]

    def _listener(self, name: str, item: Item) -> Listener:
        """Plan the listener without its mappings, and return it in its desired state."""
        listener = self._listeners.setdefault(name, Listener(name=name))
        is_new = listener.pk is None
        connection = self._referred(item)
        self.steps += row_steps(
            listener,
            f"listener {name}",
            LISTENER,
            item,
            self._problems,
            references={CONNECTION_KEY: connection} if connection else {},
        )
        if is_new and item.handlers is None:
            self.steps.append(
                Step("", partial(HandlerMapping.objects.create_defaults, listener), listener)
            )
        return listener

    def _referred(self, item: Item) -> Connection | None:
        name = item.values.get(CONNECTION_KEY)
        if name is None:
            return None
        if name not in self._connections:
            hint = suggestion(name, sorted(self._connections))
            self._problems.add(
                item.line_of(CONNECTION_KEY), f"connection: there is no connection {name!r}; {hint}"
            )
        return self._connections.get(name)

    def _remove_unnamed(self, *, prune: bool) -> None:
        """Plan to remove the rows that the file does not name, or without `prune` only list them.

        A listener with history is disabled instead; a listener of the file's mirrors, and a
        connection or destination in use, are kept.
        """
        with_mirrors = listeners_of_mirrors(self._wanted)
        named = self._wanted.listeners.keys() | with_mirrors
        unnamed = [row for name, row in self._listeners.items() if name not in named]
        kept = with_history(unnamed)
        remaining = [row for name, row in self._listeners.items() if name in named] + kept
        steps = [
            Step(f"- listener {listener.name}", listener.delete, listener)
            for listener in unnamed
            if listener not in kept
        ]
        steps += [_disabled(listener) for listener in kept if listener.enabled]
        used = sorted(with_mirrors - self._wanted.listeners.keys())
        notes = [f"listener {name} is kept: a mirror of the file uses it" for name in used]
        for name, connection in self._connections.items():
            if name in self._wanted.connections:
                continue
            users = [row.name for row in remaining if row.connection == connection]
            if users:
                notes.append(f"connection {name} is kept: used by {', '.join(users)}")
            else:
                steps.append(Step(f"- connection {name}", connection.delete, connection))
        items = self._wanted.listeners.values()
        handlers = [handler for item in items for handler in item.handlers or ()]
        removals, in_use = self._destinations.removals(handlers, self.steps)
        steps += removals
        notes += in_use
        if prune:
            self.steps += steps
            self.notes += notes
        else:
            self.kept += [_kept(step) for step in steps]


def _kept(step: Step) -> str:
    """Return the line about a row that is kept, since the step that removes it is not taken."""
    if step.text.startswith("-"):
        return f"kept: {step.text[2:]}: not in the file; --prune removes it"
    return f"kept: listener {step.row}: not in the file; --prune disables it"


def _disabled(listener: Listener) -> Step:
    def disable() -> None:
        listener.enabled = False
        save_fields(listener, ["enabled"])

    text = f"~ listener {listener.name}: enabled true → false (it has a history)"
    return Step(text, disable, listener, ["enabled"])
