"""The actions of the command `mirror`: each translates its arguments into calls of the service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.action_log import Actor
from consumer.management.arguments import refuse_unknown_listener
from consumer.management.mirror_progress import wait_for
from consumer.status.mirror_table import table
from listeners.models import Listener
from mirror import service
from mirror.models import Mirror, MirrorRun
from mirror.requirements import Refused
from mirror.status import statuses

_USAGE = 2
_RUNS = {kind.value: kind for kind in MirrorRun.Kind}
#: The options of the command that each kind of run takes.
_OPTIONS = {"verify": ("depth",), "repair": ("accept_deletions",)}


def act(command: BaseCommand, action: str, models: list[str], options: dict[str, Any]) -> None:
    """Run an action. Raises CommandError: exit code 2 for a wrong argument, otherwise 1."""
    if action == "status":
        _show(command, _named(models) if models else _all(), options["format"])
        return
    if not models:
        raise CommandError(f"Name the models to {action}, such as crm.Account.", returncode=_USAGE)
    match action:
        case "add":
            mirrors = _add(command, models, options)
            _follow(
                command, [mirror.runs.get(kind=MirrorRun.Kind.LOAD) for mirror in mirrors], options
            )
        case "remove":
            _remove(command, _named(models))
        case kind:
            given = {name: options[name] for name in _OPTIONS.get(kind, ())}
            runs = [
                service.request_run(mirror, _RUNS[kind], given, Actor.at_the_shell())
                for mirror in _named(models)
            ]
            _follow(command, runs, options)


def _add(command: BaseCommand, models: Sequence[str], options: dict[str, Any]) -> list[Mirror]:
    listener = _listener(options["listener"])
    settings = {name: options[name] for name in ("database", "deletes", "verify")}
    named = list({model.lower(): model for model in models}.values())
    try:
        mirrors = service.add_all(named, listener, by=Actor.at_the_shell(), **settings)
    except Refused as refused:
        raise CommandError(str(refused)) from None
    for mirror in mirrors:
        command.stdout.write(f"{mirror.model}: mirrors {mirror.salesforce_object}, by {listener}")
    return mirrors


def _listener(name: str | None) -> Listener:
    refuse_unknown_listener(name)
    rows = Listener.objects.select_related("connection").order_by("name")
    found = list(rows.filter(name=name) if name else rows)
    if len(found) == 1:
        return found[0]
    known = ", ".join(listener.name for listener in found)
    hint = f"choose one with --listener: {known}" if found else "create one with apply_cdc_config"
    problem = "There are several listeners" if found else "There is no listener"
    raise CommandError(f"{problem}; {hint}.", returncode=_USAGE)


def _remove(command: BaseCommand, mirrors: Sequence[Mirror]) -> None:
    for mirror in mirrors:
        try:
            service.remove(mirror, Actor.at_the_shell())
        except Refused as refused:
            raise CommandError(str(refused)) from None
        command.stdout.write(f"{mirror.model}: no longer a mirror; its table and rows stay")


def _all() -> list[Mirror]:
    return list(Mirror.objects.select_related("listener"))


def _named(models: Sequence[str]) -> list[Mirror]:
    """Return the mirrors of these models, in that order; the case of the label does not matter."""
    by_model = {mirror.model.lower(): mirror for mirror in _all()}
    if missing := [model for model in models if model.lower() not in by_model]:
        known = ", ".join(mirror.model for mirror in by_model.values()) or "none"
        raise CommandError(
            f"There is no mirror of {', '.join(missing)}; known: {known}. Add one with: "
            f"manage.py mirror add {missing[0]}",
            returncode=_USAGE,
        )
    return [by_model[model.lower()] for model in dict.fromkeys(models)]


def _follow(command: BaseCommand, runs: Sequence[MirrorRun], options: dict[str, Any]) -> None:
    if options["wait"]:
        if not wait_for(command, runs):
            raise CommandError("Not everything is done and right: see the lines above.")
        return
    for run in runs:
        command.stdout.write(f"{run.mirror}: {run.get_kind_display().lower()} requested")
    command.stdout.write("Follow with: manage.py mirror status")


def _show(command: BaseCommand, mirrors: Sequence[Mirror], form: str) -> None:
    found = statuses(timezone.now(), mirrors)
    if form == "json":
        rows = [status.to_dict() for status in found]
        command.stdout.write(json.dumps(rows, indent=2, default=_iso))
    elif found:
        command.stdout.write("\n".join(table(found)))
    else:
        command.stdout.write("No mirrors yet. Add one with: manage.py mirror add app.Model")


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
