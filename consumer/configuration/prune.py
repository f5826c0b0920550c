"""What to do with what the file does not name, when asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from audit.history import with_history
from consumer.configuration.steps import Step
from listeners.models import Connection, Listener
from listeners.values import save_fields


@dataclass(frozen=True)
class Pruned:
    steps: list[Step]
    #: Why something that the file does not name is kept.
    notes: list[str]

    @property
    def kept(self) -> list[str]:
        """What the steps would remove, where nothing is to be removed."""
        return [
            f"kept: {step.text[2:]}: not in the file; --prune removes it"
            if step.text.startswith("-")
            else f"kept: listener {step.row}: not in the file; --prune disables it"
            for step in self.steps
        ]


def pruned(
    connections: Sequence[Connection], listeners: Sequence[Listener], named: Sequence[Listener]
) -> Pruned:
    """Connections and listeners that the file does not name are deleted where they can be.

    A listener with a history stays for the record, and is disabled; a connection that is in use
    stays as it is. Inside the caller's transaction.
    """
    kept = with_history(listeners)
    without = [listener for listener in listeners if listener not in kept]
    remaining = [*named, *kept]
    users = {c.pk: [one.name for one in remaining if one.connection == c] for c in connections}
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
