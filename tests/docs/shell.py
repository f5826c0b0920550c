"""Checks shell blocks: each command's arguments are parsed as its program does, and nothing is
run."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence

from tests.docs import programs
from tests.docs.programs import ASSIGNMENT, WrongCommand

_JOINED = re.compile(r"\\\n\s*")
_ENDS = {"&&", "||", ";", "|", "&"}


def check(text: str) -> None:
    """Check a block's text. Raises WrongCommand."""
    for line in _JOINED.sub(" ", text).splitlines():
        for words in _commands(line):
            _check(words)


def _commands(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line, without their variables and redirections."""
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _ENDS:
            words.append(word)
            continue
        arguments = [one for one in words if not ASSIGNMENT.fullmatch(one)]
        arguments = list(itertools.takewhile(lambda one: one[:1] not in ("<", ">"), arguments))
        if arguments and words[0] != "export":
            yield arguments
        words = []


def _check(words: Sequence[str]) -> None:
    said = io.StringIO()  # argparse says on standard error what it refuses
    try:
        with contextlib.redirect_stderr(said):
            programs.check(words)
    except WrongCommand:
        raise
    except (Exception, SystemExit) as error:
        raise WrongCommand(f"{shlex.join(words)}: {said.getvalue() or error}") from error
