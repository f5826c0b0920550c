"""Make a listener's handler mappings match the file. Waiting deliveries follow their mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from django.utils import timezone

from consumer.configuration.desired_state import Item
from consumer.configuration.errors import Problem, Problems, suggestion
from consumer.configuration.matching import match, shown_target, target_of, value_of
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import DESTINATION_KEY, HANDLER
from handlers.checks import unregistered_message
from handlers.mappings import retarget
from handlers.mappings.retarget import shown
from handlers.models import Destination, HandlerMapping
from handlers.models.delivery_queryset import AWAITS_REPORT
from handlers.ordering.address import to_move, waiting_of
from handlers.sdk import registry
from listeners.models import Listener


def mapping_plan(
    listener: Listener,
    items: Sequence[Item],
    problems: Problems,
    *,
    prune: bool,
    destinations: Mapping[str, Destination],
    mirrored: Collection[str] = (),
) -> tuple[list[Step], list[str]]:
    """Plan the mappings of a listener; return the steps, and a line for each mapping that is not in
    the file and is kept. `mirrored` are the objects that the file mirrors with this listener.

    The steps are removals, then new and changed mappings, then moves of waiting deliveries. Each
    kind of change keeps at least one mapping, if only an empty one. Locks the stored mappings,
    inside the caller's transaction.
    """
    matching = match(items, _stored(listener), problems)
    steps: list[Step] = []
    moves: list[Step] = []
    for place, item in enumerate(items):
        mapping = matching.found.get(place) or HandlerMapping(listener=listener)
        mapping.mirrored_soon = mirrored
        references = _references(item, destinations, problems)
        step, move = _change(listener, mapping, item, references, problems)
        steps += step
        moves += move
        _check_options(mapping, item, problems)
    if not prune:
        kept = [line for mapping in matching.left for line in _kept(listener, mapping)]
        added = _defaults(listener, items, matching.left)
        return [*steps, *moves, *added], kept
    spare = _spare(items, matching.left)
    removals = [_removal(listener, mapping) for mapping in matching.left if mapping not in spare]
    return [*removals, *steps, *moves, *_defaults(listener, items, spare)], []


def check_registered(
    items: Sequence[Item], problems: Problems, *, allow_unknown: bool
) -> list[Problem]:
    """Report the handlers that are not registered; return them as warnings if they are allowed,
    since their deliveries would wait."""
    warnings: list[Problem] = []
    for item in items:
        name, line = item.values.get("handler"), item.line_of("handler")
        if not name or registry.find(name) is not None:
            continue
        if allow_unknown:
            warnings.append(Problem(line, unregistered_message(name)))
        else:
            problems.add(
                line,
                f"handler: no handler is registered under the name {name!r}; "
                f"{suggestion(name, registry.names())} (handlers are found in each installed "
                "app's cdc_handlers.py and in the modules of CDC_HANDLER_MODULES; "
                "--allow-unknown-handlers accepts handlers that are not registered yet)",
            )
    return warnings


def _stored(listener: Listener) -> list[HandlerMapping]:
    """Return the mappings of a listener, without those of its mirrors."""
    mappings = HandlerMapping.objects.filter(listener_id=listener.pk, managed=False)
    locked = mappings.select_for_update(no_key=True, of=("self",))
    return list(locked.select_related("destination").order_by("id"))


def _references(
    item: Item, destinations: Mapping[str, Destination], problems: Problems
) -> dict[str, Destination | None]:
    """Return the mapping's destination, which may not be stored yet."""
    name = item.values.get(DESTINATION_KEY)
    if name and name not in destinations:
        hint = suggestion(name, sorted(destinations))
        line = item.line_of(DESTINATION_KEY)
        problems.add(line, f"destination: there is no destination {name!r}; {hint}")
    if DESTINATION_KEY in item.refused_keys or (name and name not in destinations):
        return {}
    return {DESTINATION_KEY: destinations[name] if name else None}


def _change(
    listener: Listener,
    mapping: HandlerMapping,
    item: Item,
    references: dict[str, Destination | None],
    problems: Problems,
) -> tuple[list[Step], list[Step]]:
    """Return the step that makes a mapping match its item, and the step that moves its waiting
    deliveries."""
    label = _label(listener, value_of(item, "on"), value_of(item, "entity"), *target_of(item))
    steps = row_steps(mapping, label, HANDLER, item, problems, references=references)
    fields = set(steps[0].fields if steps else ())
    is_elsewhere = DESTINATION_KEY in fields
    if mapping.pk is None or not (is_elsewhere or retarget.ADDRESS & fields):
        return steps, []
    now = timezone.now()
    text = f"{steps[0].text}{_moved(mapping, now, all_of_them=is_elsewhere)}"
    move = Step("", partial(retarget.move_waiting, mapping, now), mapping)
    return [replace(steps[0], text=text)], [move]


def _moved(mapping: HandlerMapping, now: datetime, *, all_of_them: bool) -> str:
    if mapping.handler or mapping.task:
        moving = waiting_of if all_of_them else to_move
        waiting = retarget.counted(moving(mapping, now))
        verb = "moves" if waiting == 1 else "move"
        queue = f", queue {mapping.queue}" if mapping.queue else ""
        queue += f", destination {mapping.destination}" if mapping.destination else ""
        name = mapping.handler or mapping.task
        fate = f"{shown(waiting)} {verb} to {name}{queue}"
    else:
        waiting = _waiting(mapping)
        verb = "keeps its" if waiting == 1 else "keep their"
        fate = f"{shown(waiting)} {verb} current handler"
    return _note(_pause(mapping), fate if waiting else "")


def _spare(items: Sequence[Item], left: Sequence[HandlerMapping]) -> list[HandlerMapping]:
    """Return the empty mapping to keep for each kind of change that the file does not name."""
    named = {item.values.get("on") for item in items}
    first: dict[str, HandlerMapping] = {}
    for one in left:
        if one.on not in named and one.entity == "*" and not (one.handler or one.task):
            first.setdefault(one.on, one)
    return list(first.values())


def _defaults(
    listener: Listener, items: Sequence[Item], kept: Sequence[HandlerMapping]
) -> list[Step]:
    """Return steps that add an empty mapping for each kind of change that would have none."""
    present = {item.values.get("on") for item in items} | {one.on for one in kept}
    return [
        Step(f"+ {_label(listener, on, '*', '', '')}", empty.save, empty)
        for on in HandlerMapping.On.values
        if on not in present
        for empty in [HandlerMapping(listener=listener, on=on)]
    ]


def _removal(listener: Listener, mapping: HandlerMapping) -> Step:
    waiting = _waiting(mapping)
    text = _note(_pause(mapping), f"{shown(waiting)} will be skipped" if waiting else "")
    return Step(f"- {_label_of(listener, mapping)}{text}", mapping.delete, mapping)


def _kept(listener: Listener, mapping: HandlerMapping) -> Iterator[str]:
    """Yield a line about a mapping that is kept, unless it only records and has no deliveries."""
    waiting = _waiting(mapping)
    if mapping.handler or mapping.task or waiting:
        also = f" and skips {shown(waiting)}" if waiting else ""
        yield f"kept: {_label_of(listener, mapping)}: not in the file; --prune removes it{also}"


def _waiting(mapping: HandlerMapping) -> int:
    """Count the deliveries that are skipped if the mapping is removed. The reports of tasks under
    way are waited for."""
    return retarget.counted(mapping.deliveries.exclude(AWAITS_REPORT))


def _pause(mapping: HandlerMapping) -> str:
    """Return a remark if the mapping is paused: applying the file does not resume it."""
    return f"paused by {mapping.paused_by}" if mapping.paused_at is not None else ""


def _note(*parts: str) -> str:
    text = "; ".join(part for part in parts if part)
    return f" ({text})" if text else ""


def _label_of(listener: Listener, mapping: HandlerMapping) -> str:
    return _label(listener, mapping.on, mapping.entity, mapping.handler, mapping.task)


def _label(listener: Listener, on: str, entity: str, handler: str, task: str) -> str:
    return f"handler of {listener.name}, {on} {entity}: {shown_target(handler, task)}"


def _check_options(mapping: HandlerMapping, item: Item, problems: Problems) -> None:
    handler = registry.find(mapping.handler)
    line = item.line_of("options")
    if handler is None or handler.check_options is None or "options" in item.refused_keys:
        return
    if problems.has(line, "options"):
        return  # the model's validation has reported a problem with the options
    try:
        handler.check_options(mapping.options)
    except ValueError as error:
        problems.add(line, f"options: {error}")
