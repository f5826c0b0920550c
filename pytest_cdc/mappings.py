"""Where a test's changes go: handlers by name, and mappings that the admin would take too."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from audit.models import AuditLogEntry
from handlers import registry
from handlers.events import EventData
from handlers.models import HandlerMapping
from handlers.registry import Handler
from handlers.routing import GAPS, ON, Miss, miss
from handlers.saves import judging, recorded_beside, saves_among
from listeners.models import Listener


class CannotDeliver(Exception):
    """A change cannot go where the test wants it; the message says what to do about it."""


def mapping_for(
    event: EventData, handler: Handler[Any], listener: Listener, said: Mapping[str, Any]
) -> HandlerMapping:
    """The listener's mapping that is like this, or a new one. Raises CannotDeliver."""
    kind = {"on": on_of(event), "entity": event.metadata.entity_name}
    mapping = _valid(handler, listener, {**kind, **said})
    known: HandlerMapping
    for known in HandlerMapping.objects.filter(listener=listener):
        if all(getattr(known, name) == getattr(mapping, name) for name in _settings()):
            return known
    mapping.save()
    return mapping


def _valid(handler: Handler[Any], listener: Listener, values: Mapping[str, Any]) -> HandlerMapping:
    settings = _settings() - {"handler", "task"}
    if unknown := values.keys() - settings:
        raise CannotDeliver(
            f"a mapping has no {', '.join(sorted(unknown))}; say {', '.join(sorted(settings))}"
        )
    mapping = HandlerMapping(listener=listener, handler=handler.name, **values)
    try:
        mapping.full_clean()
        if handler.check_options:
            handler.check_options(mapping.options)
    except ValidationError as error:
        reasons = "; ".join(
            f"{name}: {' '.join(said)}" for name, said in error.message_dict.items()
        )
        raise CannotDeliver(f"no mapping to {handler.name} may say this: {reasons}") from None
    except ValueError as error:
        raise CannotDeliver(f"{handler.name} refuses these options: {error}") from None
    return mapping


def _settings() -> set[str]:
    fields = HandlerMapping._meta.fields
    return {field.name for field in fields if field.editable} - {"id", "listener"}


def on_of(event: EventData) -> str:
    """The mappings' word for its kind."""
    return (ON | GAPS)[event.metadata.change_type]


def registered(to: Handler[Any] | str) -> Handler[Any]:
    """Raises CannotDeliver."""
    if not isinstance(to, Handler | str):
        raise CannotDeliver(f"{to!r} is no handler: put @cdc_handler before it, or give a name")
    name = to.name if isinstance(to, Handler) else to
    if handler := registry.find(name):
        return handler
    close = difflib.get_close_matches(name, registry.names(), 1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise CannotDeliver(
        f"no handler is registered under the name {name!r}. {hint}Import the module that has it, "
        f"or name it in CDC_HANDLER_MODULES. Registered: {', '.join(registry.names())}."
    )


def missed(event: EventData, mapping: HandlerMapping) -> Miss | None:
    """What keeps a change from a mapping."""
    entry = AuditLogEntry.objects.get(pk=event.id)
    saves = saves_among(recorded_beside([entry])) if judging([mapping]) else {}
    found = miss(entry, mapping, saves.get(entry.pk))
    # With gap_policy `deliver`, as here, such a mapping gets the gap event.
    return None if found is Miss.GAP else found


def unmapped(event: EventData, listener: Listener, mappings: Sequence[HandlerMapping]) -> str:
    """What to do about a change that no mapping is for."""
    there = "; ".join(str(mapping) for mapping in mappings) or "none"
    return (
        f"no mapping of {listener} is for {on_of(event)} of {event.metadata.entity_name}. It has: "
        f"{there}. Add one to the configuration, or say where it is to go: "
        "cdc_deliver(event, to=handler)."
    )
