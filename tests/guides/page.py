"""Reads a guide: what its reader does, step by step.

| in the Markdown | the reader |
|---|---|
| "third terminal" | goes on in that terminal, and opens it at its first mention |
| a block that begins with the comment `# NAME.EXT` | writes this file, in the terminal's folder |
| the same, with `# NAME.EXT (add at the end)` | adds the block to the file |
| a `sh` block | enters it, and waits until it has ended |
| a `sh` block after "leave it running" | enters it, and reads on |
| a `text` block | sees this output; `…` stands for anything, on a line of its own for any lines |
| a `text` block after "repeat the command" | enters the last block again until the output is this |
| "Press `Ctrl-C`" | does |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TERMINAL = re.compile(rf"\b({'|'.join(ORDINALS)})\s+terminal\b")
_DOES = re.compile(rf"{_TERMINAL.pattern}|(?P<interrupt>Press\s+`Ctrl-C`)")
_STAYS = re.compile(r"\bleave\s+it\s+running\b", re.IGNORECASE)
_REPEATS = re.compile(r"\brepeat\s+the\s+command\b")
_FILE = re.compile(r"(?:#|//) (?P<path>[\w./-]+\.\w+)(?P<adds> \(add at the end\))?$")


class Unclear(Exception):
    """A guide that does not say what its reader shall do."""


@dataclass(frozen=True)
class Step:
    """`line` and `terminal` say where it stands in the guide, and where it is done."""

    line: int
    terminal: str


@dataclass(frozen=True)
class File(Step):
    path: str
    text: str
    is_added: bool


@dataclass(frozen=True)
class Command(Step):
    text: str
    stays: bool


@dataclass(frozen=True)
class Output(Step):
    text: str
    repeats: bool


@dataclass(frozen=True)
class Interrupt(Step):
    """Ctrl-C."""


def steps(markdown: str) -> Iterator[Step]:
    """Raises Unclear."""
    terminal, end = ORDINALS[0], 0
    for block in _BLOCK.finditer(markdown):
        prose = markdown[end : block.start()]
        for step in _of_prose(prose, terminal, _line(markdown, end)):
            terminal = step.terminal
            if isinstance(step, Interrupt):
                yield step
        yield _of_block(block, terminal, _line(markdown, block.start()), prose)
        end = block.end()


def _of_prose(prose: str, terminal: str, line: int) -> Iterator[Step]:
    for found in _DOES.finditer(prose):
        at = line + prose.count("\n", 0, found.start())
        terminal = found[1] or terminal
        yield Interrupt(at, terminal) if found["interrupt"] else Step(at, terminal)


def _of_block(block: re.Match[str], terminal: str, line: int, prose: str) -> Step:
    language, text = block["language"], block["text"]
    if language == "sh":
        return Command(line, terminal, text, stays=bool(_STAYS.search(prose)))
    if language == "text":
        return Output(line, terminal, text, repeats=bool(_REPEATS.search(prose)))
    if found := _FILE.match(text.partition("\n")[0]):
        return File(line, terminal, found["path"], text, is_added=bool(found["adds"]))
    raise Unclear(
        f"line {line}: begin this block with its file's name in a comment, such as `# tasks.py`"
    )


def _line(markdown: str, position: int) -> int:
    return markdown.count("\n", 0, position) + 1


def expected(text: str) -> re.Pattern[str]:
    """A pattern for these lines of output, whole lines, one after the other."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else _expected_line(line) for line in text.splitlines()
    ]
    return re.compile("^" + "".join(lines), re.MULTILINE)


def _expected_line(line: str) -> str:
    return ".*?".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n"
