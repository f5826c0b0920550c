"""Make mirrors match the file. A mirror that is not in the file is removed only with `--prune`.

The org is not asked: a mirror whose object cannot be read shows that when its load fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from audit.action_log import Actor
from consumer.configuration.desired_state import Item, Wanted
from consumer.configuration.errors import Problems, suggestion
from consumer.configuration.model_diff import Step
from consumer.configuration.schema import LISTENER_KEY
from listeners.models import Listener
from mirror import service
from mirror.models import Mirror
from mirror.requirements import Refused, check_local
from mirror.schema.columns import NotMirrorable, columns_of, model_named

_SETTINGS = ("deletes", "verify")
_DEFAULTS = {"database": "default", "deletes": Mirror.Deletes.SOFT, "verify": Mirror.Verify.DAILY}


def mirrored_soon(wanted: Wanted, listener: str) -> set[str]:
    """Return the objects that the file mirrors with a listener: handlers may run after them."""
    found = set()
    for model, item in wanted.mirrors.items():
        if item.values.get(LISTENER_KEY) == listener:
            with suppress(NotMirrorable):
                found.add(columns_of(model_named(model)).salesforce_object)
    return found


def listeners_of_mirrors(wanted: Wanted) -> set[str]:
    """Return the names of the listeners of the file's mirrors. A stored mirror may omit its own."""
    models = {model.lower() for model in wanted.mirrors}
    stored = Mirror.objects.values_list("model", "listener__name")
    named = {str(item.values.get(LISTENER_KEY, "")) for item in wanted.mirrors.values()} - {""}
    return named | {str(listener) for model, listener in stored if model.lower() in models}


def mirror_plan(
    wanted: Wanted, listeners: Mapping[str, Listener], problems: Problems, *, prune: bool
) -> tuple[list[Step], list[str]]:
    """Plan the mirrors: return the steps, and a line for each mirror that is not in the file and is
    kept. Inside the caller's transaction."""
    by = Actor.at_the_shell()
    rows = Mirror.objects.select_for_update(no_key=True, of=("self",)).select_related("listener")
    stored = {mirror.model.lower(): mirror for mirror in rows.order_by("id")}
    steps: list[Step] = []
    for model, item in wanted.mirrors.items():
        mirror = stored.pop(model.lower(), None)
        steps += (
            _change(mirror, item, problems, by)
            if mirror
            else _addition(item, listeners, problems, by)
        )
    if prune:
        return [*steps, *(_removal(mirror, by) for mirror in stored.values())], []
    kept = "kept: mirror {}: not in the file; --prune removes it"
    return steps, [kept.format(mirror.model) for mirror in stored.values()]


def _addition(
    item: Item, listeners: Mapping[str, Listener], problems: Problems, by: Actor
) -> list[Step]:
    name = item.values.get(LISTENER_KEY)
    if name is None:
        if LISTENER_KEY not in item.refused_keys:
            problems.add(item.line, "a mirror needs a listener; name one")
        return []
    if name not in listeners:
        hint = suggestion(name, sorted(listeners))
        problems.add(item.line_of(LISTENER_KEY), f"listener: there is no listener {name!r}; {hint}")
        return []
    if item.refused_keys:
        return []
    listener = listeners[name]
    mirror = Mirror(listener=listener, model=item.values["model"], **_settings(item))
    try:
        check_local(mirror)
    except Refused as refused:
        problems.add(item.line_of(refused.field), _worded(refused))
        return []
    text = f"+ mirror {mirror.model} by {name}"
    return [Step(text, partial(_store, mirror, by), mirror, is_logged=True)]


def _store(mirror: Mirror, by: Actor) -> None:
    """Store the mirror. Its listener may have been stored only now, by a step before this one."""
    mirror.listener = mirror.listener
    service.store(mirror, by)


def _change(mirror: Mirror, item: Item, problems: Problems, by: Actor) -> list[Step]:
    fixed = {LISTENER_KEY: mirror.listener.name, "database": mirror.database}
    wanted = {**_DEFAULTS, **item.values}
    for key, present in fixed.items():
        if key not in item.refused_keys and wanted.get(key, present) != present:
            problems.add(
                item.line_of(key),
                f"{key}: {mirror.model} is mirrored with {present}, and a mirror keeps its {key}; "
                f"remove it first: manage.py mirror remove {mirror.model}",
            )
    given = {name: str(wanted[name]) for name in _SETTINGS if name not in item.refused_keys}
    differing = {name: value for name, value in given.items() if getattr(mirror, name) != value}
    if not differing:
        return []
    shown = [f"{name} {getattr(mirror, name)} → {value}" for name, value in differing.items()]
    change = partial(service.change, mirror, by, **differing)
    text = f"~ mirror {mirror.model}: {', '.join(shown)}"
    return [Step(text, change, mirror, is_logged=True)]


def _removal(mirror: Mirror, by: Actor) -> Step:
    text = f"- mirror {mirror.model} (its table stays)"
    return Step(text, partial(service.remove, mirror, by), mirror, is_logged=True)


def _settings(item: Item) -> dict[str, Any]:
    return {name: item.values.get(name, default) for name, default in _DEFAULTS.items()}


def _worded(refused: Refused) -> str:
    return f"{refused.field}: {refused}" if refused.field else str(refused)
