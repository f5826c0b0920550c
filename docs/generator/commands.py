"""The arguments and options of a manage.py command, from its parser."""

from __future__ import annotations

import argparse

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from docs.generator.blocks import table

#: The options that every Django command has.
_OF_DJANGO = {action.dest for action in BaseCommand().create_parser("manage.py", "")._actions}


def options(name: str) -> str:
    """Return the command's help and a table of its options. Raises KeyError if it is unknown."""
    command = _command(name)
    parser = command.create_parser("manage.py", name)
    rows = [_row(one) for one in parser._actions if one.dest not in _OF_DJANGO]
    text = str(command.help)
    return f"{text}\n\n{table(('argument or option', ''), rows)}" if rows else text


def _command(name: str) -> BaseCommand:
    app = get_commands()[name]
    return app if isinstance(app, BaseCommand) else load_command_class(app, name)


def _row(action: argparse.Action) -> tuple[str, str]:
    named = ", ".join(
        f"`{' '.join((flag, _value(action))).strip()}`" for flag in action.option_strings
    )
    if not named:
        value = _value(action) or action.dest.upper()
        named = f"`[{value} …]`" if action.nargs == "*" else f"`{value}`"
    told = (action.help or "").replace("%%", "%")
    if action.required and action.option_strings:
        told = f"needed: {told}"
    is_told = "default" in told or action.default in (None, "", False, [], argparse.SUPPRESS)
    return named, told if is_told else f"{told} (default `{action.default}`)".strip()


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices:
        return "|".join(str(choice) for choice in action.choices)
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper() if action.option_strings else ""
