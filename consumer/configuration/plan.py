"""Plan the changes that make the database match the file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from audit.log.record import with_history
from consumer.configuration.desired_state import Item, Wanted, WantedListener
from consumer.configuration.errors import Problem, Problems, suggestion
from consumer.configuration.mappings import check_registered, mapping_plan
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import CONNECTION, CONNECTION_KEY, LISTENER
from handlers.mappings.defaults import create_default_mappings
from listeners.connections.listener_warnings import warnings as listener_warnings
from listeners.models import Connection, Listener
from listeners.models.connection_rules import warnings as connection_warnings
from listeners.values import save_fields


@dataclass(frozen=True)
class Plan:
    """The planned changes, with warnings about the configuration."""

    #: In execution order: rows before the rows that refer to them.
    steps: list[Step]
    warnings: list[Problem]
    notes: list[str]
    #: One line for each row that is not in the file and is kept.
    kept: list[str]
    #: The listeners of the file, in their desired state.
    listeners: list[Listener]


def plan(wanted: Wanted, problems: Problems, *, prune: bool, allow_unknown_handlers: bool) -> Plan:
    """Plan the changes. Locks the stored configuration and writes nothing, inside the caller's
    transaction."""
    planner = _Planner(wanted, problems, allow_unknown_handlers=allow_unknown_handlers)
    return planner.plan(prune=prune)


class _Planner:
    def __init__(self, wanted: Wanted, problems: Problems, *, allow_unknown_handlers: bool) -> None:
        self._wanted = wanted
        self._problems = problems
        self._allow_unknown_handlers = allow_unknown_handlers
        # The lock keeps out other writers, but not ingest.
        connections = Connection.objects.select_for_update(no_key=True).order_by("id")
        self._connections = {connection.name: connection for connection in connections}
        by_id = {connection.pk: connection for connection in self._connections.values()}
        self._listeners: dict[str, Listener] = {}
        for listener in Listener.objects.select_for_update(no_key=True).order_by("id"):
            listener.connection = by_id[listener.connection_id]
            self._listeners[listener.name] = listener

    def plan(self, *, prune: bool) -> Plan:
        steps: list[Step] = []
        warnings: list[Problem] = []
        kept: list[str] = []
        for name, item in self._wanted.connections.items():
            connection = self._connections.setdefault(name, Connection(name=name))
            label = f"connection {name}"
            steps += row_steps(connection, label, CONNECTION, item, self._problems)
            warnings += [
                Problem(item.line_of(field), f"{label}: {text}")
                for field, text in connection_warnings(connection)
            ]
        for name, wanted in self._wanted.listeners.items():
            steps += self._listener(name, wanted)
            if wanted.handlers is not None:
                changes, left = mapping_plan(
                    self._listeners[name], wanted.handlers, self._problems, prune=prune
                )
                steps += changes
                kept += left
                warnings += check_registered(
                    wanted.handlers, self._problems, allow_unknown=self._allow_unknown_handlers
                )
            warnings += [
                Problem(wanted.item.line_of(field), f"listener {name}: {text}")
                for field, text in listener_warnings(self._listeners[name])
            ]
        removals, notes = ([], []) if self._problems else self._pruned()
        if prune:
            steps += removals
        else:
            kept += [_kept(step) for step in removals]
            notes = []
        listeners = [self._listeners[name] for name in self._wanted.listeners]
        return Plan(steps, sorted(warnings), notes, kept, listeners)

    def _listener(self, name: str, wanted: WantedListener) -> list[Step]:
        listener = self._listeners.setdefault(name, Listener(name=name))
        is_new = listener.pk is None
        steps = row_steps(
            listener,
            f"listener {name}",
            LISTENER,
            wanted.item,
            self._problems,
            connection=self._referred(wanted.item),
        )
        if is_new and wanted.handlers is None:
            steps.append(Step("", partial(create_default_mappings, listener), listener))
        return steps

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

    def _pruned(self) -> tuple[list[Step], list[str]]:
        """Return the steps that remove rows that the file does not name, and a note for each
        connection that is kept because it is in use. A listener with history is disabled."""
        named = self._wanted.listeners
        unnamed = [row for name, row in self._listeners.items() if name not in named]
        kept = with_history(unnamed)
        remaining = [row for name, row in self._listeners.items() if name in named] + kept
        steps = [
            Step(f"- listener {listener.name}", listener.delete, listener)
            for listener in unnamed
            if listener not in kept
        ]
        steps += [_disabled(listener) for listener in kept if listener.enabled]
        notes: list[str] = []
        for name, connection in self._connections.items():
            if name in self._wanted.connections:
                continue
            users = [row.name for row in remaining if row.connection == connection]
            if users:
                notes.append(f"connection {name} is kept: used by {', '.join(users)}")
            else:
                steps.append(Step(f"- connection {name}", connection.delete, connection))
        return steps, notes


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
