"""Plan the changes that make the database match the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from audit.log.record import with_history
from consumer.configuration.desired_state import Item, Wanted, WantedListener
from consumer.configuration.errors import Problem, Problems, suggestion
from consumer.configuration.mappings import mapping_plan, refuse_unregistered, unregistered
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import CONNECTION, CONNECTION_KEY, LISTENER
from handlers.models import HandlerMapping
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
                planned = mapping_plan(
                    self._listeners[name], wanted.handlers, self._problems, prune=prune
                )
                steps += planned.steps
                kept += planned.kept
                warnings += self._unregistered(wanted.handlers)
            warnings += [
                Problem(wanted.item.line_of(field), f"listener {name}: {text}")
                for field, text in listener_warnings(self._listeners[name])
            ]
        rest = Pruned([], []) if self._problems else self._pruned()
        if not prune:
            kept += rest.kept
            rest = Pruned([], [])
        listeners = [self._listeners[name] for name in self._wanted.listeners]
        return Plan([*steps, *rest.steps], sorted(warnings), rest.notes, kept, listeners)

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
            steps.append(
                Step("", partial(HandlerMapping.objects.create_defaults, listener), listener)
            )
        return steps

    def _unregistered(self, handlers: Sequence[Item]) -> list[Problem]:
        if self._allow_unknown_handlers:
            return unregistered(handlers)
        refuse_unregistered(handlers, self._problems)
        return []

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

    def _pruned(self) -> Pruned:
        connections, listeners = self._wanted.connections, self._wanted.listeners
        return pruned(
            [row for name, row in self._connections.items() if name not in connections],
            [row for name, row in self._listeners.items() if name not in listeners],
            [row for name, row in self._listeners.items() if name in listeners],
        )


@dataclass(frozen=True)
class Pruned:
    """The steps that remove connections and listeners that the file does not name."""

    steps: list[Step]
    #: Why a row that the file does not name is kept.
    notes: list[str]

    @property
    def kept(self) -> list[str]:
        """The lines to show if the steps are not taken."""
        return [
            f"kept: {step.text[2:]}: not in the file; --prune removes it"
            if step.text.startswith("-")
            else f"kept: listener {step.row}: not in the file; --prune disables it"
            for step in self.steps
        ]


def pruned(
    connections: Sequence[Connection], listeners: Sequence[Listener], named: Sequence[Listener]
) -> Pruned:
    """Return the steps that delete connections and listeners that the file does not name.

    A listener with history is disabled instead, and a connection in use is kept. Inside the
    caller's transaction.
    """
    kept = with_history(listeners)
    without = [listener for listener in listeners if listener not in kept]
    remaining = [*named, *kept]
    users = {c.pk: [user.name for user in remaining if user.connection == c] for c in connections}
    unused = [connection for connection in connections if not users[connection.pk]]
    return Pruned(
        [
            *(
                Step(f"- listener {listener.name}", listener.delete, listener)
                for listener in without
            ),
            *(_disabled(listener) for listener in kept if listener.enabled),
            *(
                Step(f"- connection {connection.name}", connection.delete, connection)
                for connection in unused
            ),
        ],
        [
            f"connection {connection.name} is kept: used by {', '.join(users[connection.pk])}"
            for connection in connections
            if users[connection.pk]
        ],
    )


def _disabled(listener: Listener) -> Step:
    text = f"~ listener {listener.name}: enabled true → false (it has a history)"
    return Step(text, partial(_disable, listener), listener, ["enabled"])


def _disable(listener: Listener) -> None:
    listener.enabled = False
    save_fields(listener, ["enabled"])
