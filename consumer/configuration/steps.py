"""One change of the database each, with its line in the diff."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from django.db import models

from audit.actions import Action, Actor, note, note_change
from consumer.configuration.fields import assign, differences, snapshot, validate
from consumer.configuration.keys import REFERENCE, Keys
from consumer.configuration.problems import Problems
from consumer.configuration.wanted import Item
from listeners.models import Connection
from listeners.values import save_fields


@dataclass(frozen=True)
class Step:
    #: Its line; empty where the step before it says it all. The first character says what it does.
    text: str
    #: Writes; inside the caller's transaction.
    take: Callable[[], object]
    row: models.Model
    #: Of a row that changes.
    fields: Sequence[str] = ()

    def saying(self, more: str) -> Step:
        """The same with `more` at the end of its line."""
        return replace(self, text=f"{self.text}{more}")

    def noted(self, by: Actor) -> None:
        """Take it, with a line in the action log. Inside the caller's transaction."""
        match self.text[:1]:
            case "-":
                note(by, Action.DELETE, self.row)
                self.take()
            case "+":
                self.take()
                note(by, Action.ADD, self.row)
            case "~":
                self.take()
                note_change(by, self.row, self.fields)
            case _:
                self.take()


def row_steps(
    instance: models.Model,
    label: str,
    keys: Keys,
    item: Item,
    problems: Problems,
    *,
    connection: Connection | None = None,
) -> list[Step]:
    """The step that makes a row match its item, or none. `connection` may not be stored yet."""
    is_new = instance.pk is None
    fields = [*keys, REFERENCE] if connection else [*keys]
    before = {} if is_new else snapshot(instance, fields)
    assign(instance, keys, item)
    if connection:
        setattr(instance, REFERENCE, connection)
    validate(instance, item, problems)
    if is_new:
        return [Step(f"+ {label}", instance.save, instance)]
    changed = differences(before, instance)
    if not changed:
        return []
    text = f"~ {label}: {', '.join(changed.values())}"
    return [Step(text, partial(save_fields, instance, changed), instance, [*changed])]
