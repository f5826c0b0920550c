"""Make a listener's handler mappings match the file. What waits for a mapping goes with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.utils import timezone

from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problem, Problems, suggestion
from consumer.configuration.matching import match, target_of, value_of
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import HANDLER
from handlers.checks import unregistered_message
from handlers.mappings import retarget
from handlers.mappings.pause import WAITING
from handlers.models import HandlerMapping
from handlers.sdk import registry
from listeners.models import Listener


@dataclass(frozen=True)
class MappingPlan:
    #: Removals, then what is new or changed, then what waits.
    steps: list[Step]
    #: Mappings that are not in the file and stay, one line each.
    kept: list[str]


def mapping_plan(
    listener: Listener, items: Sequence[Item], problems: Problems, *, prune: bool
) -> MappingPlan:
    """Each kind of change keeps one mapping, if only an empty one. Locks the stored ones; inside
    the caller's transaction."""
    now = timezone.now()
    matching = match(items, _stored(listener), problems)
    steps: list[Step] = []
    moves: list[Step] = []
    for place, item in enumerate(items):
        mapping = matching.found.get(place) or HandlerMapping(listener=listener)
        step, move = _change(listener, mapping, item, problems, now)
        steps += step
        moves += move
        _check_options(mapping, item, problems)
    if not prune:
        kept = [line for one in matching.left for line in _kept(listener, one)]
        added = _defaults(listener, items, matching.left)
        return MappingPlan([*steps, *moves, *added], kept)
    spare = _spare(items, matching.left)
    removals = [_removal(listener, one) for one in matching.left if one not in spare]
    return MappingPlan([*removals, *steps, *moves, *_defaults(listener, items, spare)], [])


def unregistered(items: Sequence[Item]) -> list[Problem]:
    """Handlers that are not registered: their deliveries would wait."""
    return [
        Problem(item.line_of("handler"), unregistered_message(name))
        for item in items
        if (name := item.values.get("handler")) and registry.find(name) is None
    ]


def refuse_unregistered(items: Sequence[Item], problems: Problems) -> None:
    for item in items:
        name = item.values.get("handler")
        if name and registry.find(name) is None:
            problems.add(
                item.line_of("handler"),
                f"handler: no handler is registered under the name {name!r}; "
                f"{suggestion(name, registry.names())} (handlers are found in each installed "
                "app's cdc_handlers.py and in the modules of CDC_HANDLER_MODULES; "
                "--allow-unknown-handlers stores a name before its handler is there)",
            )


def _stored(listener: Listener) -> list[HandlerMapping]:
    mappings = HandlerMapping.objects.filter(listener_id=listener.pk)
    return list(mappings.select_for_update(no_key=True).order_by("id"))


def _change(
    listener: Listener, mapping: HandlerMapping, item: Item, problems: Problems, now: datetime
) -> tuple[list[Step], list[Step]]:
    """The step that makes a mapping match its item, and the one that moves what waits for it."""
    label = _label(listener, value_of(item, "on"), value_of(item, "entity"), *target_of(item))
    steps = row_steps(mapping, label, HANDLER, item, problems)
    if mapping.pk is None or not steps or not retarget.ADDRESS.intersection(steps[0].fields):
        return steps, []
    move = Step("", partial(retarget.move_waiting, mapping, now), mapping)
    return [steps[0].saying(_moved(mapping, now)), *steps[1:]], [move]


def _moved(mapping: HandlerMapping, now: datetime) -> str:
    if mapping.handler or mapping.task:
        waiting = retarget.to_move(mapping, now).count()
        verb = "moves" if waiting == 1 else "move"
        what = f"{_deliveries(waiting)} {verb} to {_destination(mapping)}"
    else:
        waiting = _waiting(mapping)
        stay = (
            "stays with the handler it has" if waiting == 1 else "stay with the handler they have"
        )
        what = f"{_deliveries(waiting)} {stay}"
    return _note(_pause(mapping), what if waiting else "")


def _destination(mapping: HandlerMapping) -> str:
    name = mapping.handler or mapping.task
    return f"{name}, queue {mapping.queue}" if mapping.queue else str(name)


def _spare(items: Sequence[Item], left: Sequence[HandlerMapping]) -> list[HandlerMapping]:
    """For each kind of change that the file does not speak of, the empty mapping that it keeps."""
    spoken_of = {item.values.get("on") for item in items}
    first: dict[str, HandlerMapping] = {}
    for one in left:
        if one.on not in spoken_of and one.entity == "*" and not (one.handler or one.task):
            first.setdefault(one.on, one)
    return list(first.values())


def _defaults(
    listener: Listener, items: Sequence[Item], kept: Sequence[HandlerMapping]
) -> list[Step]:
    """An empty mapping for each kind of change that would have none."""
    present = {item.values.get("on") for item in items} | {one.on for one in kept}
    return [
        Step(f"+ {_label(listener, on, '*', '', '')}", empty.save, empty)
        for on in HandlerMapping.On.values
        if on not in present
        for empty in [HandlerMapping(listener=listener, on=on)]
    ]


def _removal(listener: Listener, mapping: HandlerMapping) -> Step:
    waiting = _waiting(mapping)
    text = _note(_pause(mapping), f"{_deliveries(waiting)} will be skipped" if waiting else "")
    return Step(f"- {_label_of(listener, mapping)}{text}", mapping.delete, mapping)


def _kept(listener: Listener, mapping: HandlerMapping) -> Iterator[str]:
    """One that only records and for which nothing waits makes no difference."""
    waiting = _waiting(mapping)
    if mapping.handler or mapping.task or waiting:
        also = f" and skips {_deliveries(waiting)}" if waiting else ""
        yield f"kept: {_label_of(listener, mapping)}: not in the file; --prune removes it{also}"


def _waiting(mapping: HandlerMapping) -> int:
    """Without what is sent to a task elsewhere, which is sent also when its mapping is removed."""
    return mapping.deliveries.filter(state__in=WAITING, is_external=False).count()


def _deliveries(count: int) -> str:
    return "1 waiting delivery" if count == 1 else f"{count:,} waiting deliveries"


def _pause(mapping: HandlerMapping) -> str:
    """The file neither pauses nor resumes."""
    return f"paused by {mapping.paused_by}" if mapping.paused_at is not None else ""


def _note(*parts: str) -> str:
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _label_of(listener: Listener, mapping: HandlerMapping) -> str:
    return _label(listener, mapping.on, mapping.entity, mapping.handler, mapping.task)


def _label(listener: Listener, on: str, entity: str, handler: str, task: str) -> str:
    target = handler or (f"task {task}" if task else "recorded only")
    return f"handler of {listener.name}, {on} {entity}: {target}"


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
