"""A listener's handler mappings made to match the file: the same handler keeps its row, since
deliveries refer to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from consumer.configuration.fields import default_of
from consumer.configuration.keys import HANDLER
from consumer.configuration.problems import Problem, Problems
from consumer.configuration.steps import Step, row_steps
from consumer.configuration.wanted import Item
from handlers import registry
from handlers.checks import unregistered_message
from handlers.models import HandlerMapping
from listeners.models import Listener

Identity = tuple[str, ...]

#: The first of one identity in the file is the first in the database, and so on.
_IDENTITY = ("on", "entity", "handler", "task")


def mapping_steps(listener: Listener, items: Sequence[Item], problems: Problems) -> list[Step]:
    """Removals, then what is new or changed. Each kind keeps one mapping, if only an empty one."""
    stored = _stored(listener)
    steps: list[Step] = []
    for item in [*items, *_defaults(items)]:
        twins = stored[_wanted_identity(item)]
        mapping = twins.pop(0) if twins else HandlerMapping(listener=listener)
        label = _label(listener, _wanted_identity(item))
        steps += row_steps(mapping, label, HANDLER, item, problems)
        _check_options(mapping, item, problems)
    removed = sorted((one for twins in stored.values() for one in twins), key=lambda one: one.pk)
    removals = [
        Step(f"- {_label(listener, _identity(one))}{_lost_pause(one)}", one.delete, one)
        for one in removed
    ]
    return [*removals, *steps]


def unregistered(items: Sequence[Item]) -> list[Problem]:
    """Handlers that nobody registered (yet): their deliveries wait, which must not be a secret."""
    return [
        Problem(item.line_of("handler"), unregistered_message(name))
        for item in items
        if (name := item.values.get("handler")) and registry.find(name) is None
    ]


def _stored(listener: Listener) -> dict[Identity, list[HandlerMapping]]:
    found: dict[Identity, list[HandlerMapping]] = defaultdict(list)
    if listener.pk is not None:
        for mapping in HandlerMapping.objects.filter(listener=listener).order_by("id"):
            found[_identity(mapping)].append(mapping)
    return found


def _identity(mapping: HandlerMapping) -> Identity:
    return tuple(str(getattr(mapping, name)) for name in _IDENTITY)


def _wanted_identity(item: Item) -> Identity:
    return tuple(str(item.values.get(name, default_of(HandlerMapping, name))) for name in _IDENTITY)


def _defaults(items: Sequence[Item]) -> list[Item]:
    """An empty mapping for each kind of change that the file does not speak of."""
    spoken_of = {item.values.get("on") for item in items}
    return [
        Item(0, {"on": on}, {}, frozenset())
        for on in HandlerMapping.On.values
        if on not in spoken_of
    ]


def _label(listener: Listener, identity: Identity) -> str:
    on, entity, handler, task = identity
    target = handler or (f"task {task}" if task else "recorded only")
    return f"handler of {listener.name}, {on} {entity}: {target}"


def _lost_pause(mapping: HandlerMapping) -> str:
    """The file neither pauses nor resumes: but what it takes away is not paused any more."""
    if mapping.paused_at is None:
        return ""
    return f" (it is paused by {mapping.paused_by}, and what waits for it is skipped)"


def _check_options(mapping: HandlerMapping, item: Item, problems: Problems) -> None:
    handler = registry.find(mapping.handler)
    line = item.line_of("options")
    if handler is None or handler.check_options is None or "options" in item.spoiled:
        return
    if problems.has(line, "options"):
        return  # the model's own words are enough
    try:
        handler.check_options(mapping.options)
    except ValueError as error:
        problems.add(line, f"options: {error}")
