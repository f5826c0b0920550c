"""Shell blocks: each command is parsed as it parses its own arguments, and not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from celery.bin.celery import celery
from click import Context
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from tests.nursery import ROOT

_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)
_JOINED = re.compile(r"\\\n\s*")
_ENDS = {"&&", "||", ";", "|", "&"}


class WrongCommand(Exception):
    """A command that would not be taken like this; the message is its own."""


def check(text: str) -> None:
    """Raises WrongCommand."""
    for line in _JOINED.sub(" ", text).splitlines():
        for words in _commands(line):
            _check(words)


def _commands(line: str) -> Iterator[list[str]]:
    """Of a line, without what is set for them and where their output goes."""
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _ENDS:
            words.append(word)
            continue
        arguments = [one for one in words if not _ASSIGNMENT.fullmatch(one)]
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        if arguments and words[0] != "export":
            yield arguments
        words = []


def _check(words: Sequence[str]) -> None:
    program, arguments = Path(words[0]).name, list(words[1:])
    if program.startswith("python") and arguments[:1] == ["manage.py"]:
        program, arguments = "manage.py", arguments[1:]
    if program not in _CHECKS:
        raise WrongCommand(
            f"{program}: nobody checks it here. Teach tests/docs/shell.py, or say before the block "
            "why it isn't checked."
        )
    try:
        _CHECKS[program](arguments)
    except WrongCommand:
        raise
    except (Exception, SystemExit) as error:
        raise WrongCommand(f"{shlex.join(words)}: {error}") from error


def _manage(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    app = get_commands().get(name)
    if app is None:
        raise WrongCommand(f"manage.py has no command {name!r}")
    command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    command.create_parser("manage.py", name).parse_args(arguments[1:])


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (one for one in arguments if not _ASSIGNMENT.fullmatch(one)):
        if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
            raise WrongCommand(f"make has no target {target!r}")


def _celery(arguments: list[str]) -> None:
    """The names of its own options, then those of the command's."""
    context = Context(celery, info_name="celery")
    _, words, _ = celery.make_parser(context).parse_args(arguments)
    name, command, rest = celery.resolve_command(context, words)
    if command is None:
        raise WrongCommand(f"celery has no command {name!r}")
    command.make_parser(Context(command, parent=context)).parse_args(rest)


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "manage.py": _manage,
    "make": _make,
    "celery": _celery,
}
