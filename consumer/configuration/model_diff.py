"""Make a model instance match an item of the file: differences, validation and steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from audit.action_log import Action, Actor, note, note_change
from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problems
from consumer.configuration.schema import Keys, written
from listeners.models.connection_rules import default_of
from listeners.secrets.encrypted_field import Secret
from listeners.values import is_same, save_fields

#: Keys that decide which other keys are required. If one is invalid, that is not checked.
_DECIDING = frozenset({"auth", "on"})
#: References to rows that may not be stored yet.
_REFERENCES = frozenset({"connection", "listener", "destination"})
#: Fields shown only as "changed", because their values may be sensitive.
_UNSHOWN = frozenset({"options", "optional_params", "client_config", "refresh_config"})


def _validate(instance: models.Model, item: Item, problems: Problems) -> None:
    """Add the model's validation errors to `problems`, at the line of each field."""
    exclude = {*_REFERENCES, *item.refused_keys}
    try:
        if item.refused_keys & _DECIDING:
            instance.clean_fields(exclude=exclude)
        else:
            instance.full_clean(exclude=exclude)
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            if field not in item.refused_keys:
                problems.add(item.line_of(field), _worded(field, messages, item))


def _worded(field: str, messages: list[str], item: Item) -> str:
    if field == NON_FIELD_ERRORS:
        return " ".join(messages)
    if item.values.get(field) == "":
        return f"{written(field)} is empty: {messages[-1]}"
    if field not in item.values:
        return f"{written(field)} is missing: {messages[-1]}"
    return f"{written(field)}: {' '.join(messages)}"


def _differences(before: dict[str, Any], instance: models.Model) -> dict[str, str]:
    """Return the text for the diff of each field that changed."""
    return {
        name: _shown(name, old, getattr(instance, name))
        for name, old in before.items()
        if not is_same(old, getattr(instance, name))
    }


def _shown(name: str, old: Any, new: Any) -> str:
    if isinstance(new, Secret) or name in _UNSHOWN:
        return f"{name}: changed"
    return f"{name} {_word(old)} → {_word(new)}"


def _word(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case None | "" | []:
            return "none"
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else "none"
        case list():
            return f"[{', '.join(map(str, value))}]"
        case _:
            return str(value)


@dataclass(frozen=True)
class Step:
    """One change to the database."""

    #: Its line in the diff, empty if the previous line covers it. The first character is the kind:
    #: + add, - delete, ~ change.
    text: str
    #: Makes the change, inside the caller's transaction.
    take: Callable[[], object]
    row: models.Model
    #: The fields of a row that change.
    fields: Sequence[str] = ()
    #: Whether `take` writes the action log itself.
    is_logged: bool = False

    def noted(self, by: Actor) -> None:
        """Take the step, with an entry in the action log. Inside the caller's transaction."""
        match "" if self.is_logged else self.text[:1]:
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
    references: Mapping[str, models.Model | None] | None = None,
) -> list[Step]:
    """Return the step that makes a row match its item, or an empty list. Rows that it refers to may
    not be stored yet."""
    is_new = instance.pk is None
    references = references or {}
    fields = [*keys, *references]
    before = {} if is_new else {name: getattr(instance, name) for name in fields}
    for name in keys:  # an omitted key takes the field's default
        value = item.values[name] if name in item.values else default_of(type(instance), name)
        setattr(instance, name, value)
    for name, row in references.items():
        setattr(instance, name, row)
    _validate(instance, item, problems)
    if is_new:
        return [Step(f"+ {label}", instance.save, instance)]
    changed = _differences(before, instance)
    if not changed:
        return []
    text = f"~ {label}: {', '.join(changed.values())}"
    return [Step(text, partial(save_fields, instance, changed), instance, [*changed])]
