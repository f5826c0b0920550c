"""Parse a YAML file into a tree whose nodes have line numbers, with `${NAME}` replaced."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping as EnvironmentLike
from dataclasses import dataclass, field
from typing import Literal

from ruamel.yaml import YAML, MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.reader import ReaderError

from consumer.configuration.errors import Problems

Kind = Literal["null", "bool", "int", "float", "text"]

_TAG = "tag:yaml.org,2002:"
#: More than any hand-written file has. A few aliases of aliases expand to billions of values.
_MOST_VALUES = 200_000
_KINDS: dict[str, Kind] = {
    "null": "null",
    "bool": "bool",
    "int": "int",
    "float": "float",
    "str": "text",
    "timestamp": "text",
    "value": "text",
    "merge": "text",
}
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
#: The part of a parser message that quotes a word of the file; others quote a character or token.
_QUOTING = re.compile(r"(?<=alias |nchor |andle )'.*", re.DOTALL)


@dataclass(frozen=True)
class Scalar:
    """A value as written: `0123` stays `0123` if text is expected."""

    line: int
    kind: Kind
    text: str = field(repr=False)
    from_environment: bool = False


@dataclass(frozen=True)
class Items:
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Entry:
    line: int  # the key's
    value: Node


@dataclass(frozen=True)
class Mapping:
    line: int
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Unusable:
    """A node with a problem that was reported already."""

    line: int


Node = Scalar | Items | Mapping | Unusable
_YamlNode = ScalarNode | SequenceNode | MappingNode


def parse(
    text: str, problems: Problems, environment: EnvironmentLike[str, str] = os.environ
) -> Node:
    """Return the tree of a YAML text. Problems are added to `problems`."""
    try:
        with warnings.catch_warnings():
            # An anchor may be redefined; the warning would quote a piece of the file.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            # Composed, not constructed, so that values keep their lines and their spelling.
            root = YAML(typ="safe", pure=True).compose(text)
        if root is None:
            problems.add(1, "the file is empty; write connections: and listeners:")
            return Unusable(1)
        return _Conversion(text.split("\n"), problems, environment).convert(root)
    except (YAMLError, ValueError) as error:
        line, problem = _malformed(error, text)
    except RecursionError:
        line, problem = 1, "lists and mappings are nested too deeply; flatten them"
    except _TooManyValues as error:
        line, problem = error.args[0], "aliases (*name) expand to too many values; use fewer"
    problems.add(line, problem)
    return Unusable(line)


def _malformed(error: Exception, text: str) -> tuple[int, str]:
    """Return the line and the parser's message, without its quote of the file (may be secret)."""
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return line, f"not YAML: {error.reason}; remove the character"
    problem = str(getattr(error, "problem", None) or type(error).__name__)
    message = _QUOTING.sub("…", problem).replace("\n", " ")
    line = _line_of_error(error, problem)
    if "${" in "".join(text.split("\n")[line - 1 : line]):
        return line, f"not YAML: {message}; between {{ }} and [ ] put quotes around ${{NAME}}"
    return (
        line,
        f"not YAML: {message}; check the indentation, and quote values with special characters",
    )


def _line_of_error(error: Exception, problem: str) -> int:
    if not isinstance(error, MarkedYAMLError):
        return 1
    mark = error.problem_mark or error.context_mark
    if "stream end" in problem or "end of stream" in problem:
        # The start says more than the end of the file.
        mark = error.context_mark or mark
    return int(mark.line) + 1 if mark else 1


class _TooManyValues(Exception):
    """The file has too many values. The argument is the line."""


class _Conversion:
    def __init__(
        self, source: list[str], problems: Problems, environment: EnvironmentLike[str, str]
    ) -> None:
        self._source = source
        self._problems = problems
        self._environment = environment
        self._open: set[int] = set()
        self._values_left = _MOST_VALUES

    def convert(self, node: _YamlNode) -> Node:
        line = node.start_mark.line + 1
        self._values_left -= 1
        if self._values_left < 0:
            raise _TooManyValues(line)
        if isinstance(node, ScalarNode):
            return self._scalar(node, line)
        if id(node) in self._open:
            return self._refuse(line, "an anchor cannot contain itself; write the value out")
        self._open.add(id(node))
        try:
            return self._collection(node, line)
        finally:
            self._open.remove(id(node))

    def _refuse(self, line: int, text: str) -> Unusable:
        self._problems.add(line, text)
        return Unusable(line)

    def _collection(self, node: SequenceNode | MappingNode, line: int) -> Node:
        if isinstance(node, SequenceNode) and str(node.tag) == f"{_TAG}seq":
            return Items(line, tuple(self.convert(item) for item in node.value))
        if isinstance(node, MappingNode) and str(node.tag) == f"{_TAG}map":
            return Mapping(line, self._entries(node))
        return self._refuse(line, "YAML tags (!…) are not supported here; remove the tag")

    def _entries(self, node: MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.tag) == f"{_TAG}merge":
                merged = {**self._merged(value), **merged}
            elif not isinstance(key, ScalarNode):
                self._problems.add(line, "a key must be a word")
            elif key.value in entries:
                first = entries[key.value].line
                self._problems.add(
                    line, f"{key.value!r} is a duplicate key, first in line {first}; keep one"
                )
            else:
                entries[key.value] = Entry(line, self.convert(value))
        return {**merged, **entries}

    def _merged(self, node: _YamlNode) -> dict[str, Entry]:
        """Return the entries that `<<: *anchor` merges; the first of several anchors wins."""
        found = self.convert(node)
        parts = found.items if isinstance(found, Items) else (found,)
        entries: dict[str, Entry] = {}
        for part in parts:
            if isinstance(part, Mapping):
                entries = {**part.entries, **entries}
            elif not isinstance(part, Unusable):
                self._problems.add(
                    part.line, "<< takes the keys of a mapping; name an anchor of one"
                )
        return entries

    def _scalar(self, node: ScalarNode, line: int) -> Node:
        kind = _KINDS.get(str(node.tag).removeprefix(_TAG))
        if kind is None:
            return self._refuse(
                line, "YAML tags (!…) are not supported here; put text that begins with ! in quotes"
            )
        text, unknown = self._replaced(node.value)
        if unknown:
            for name in unknown:
                self._problems.add(self._line_of(name, node), _explained(name))
            return Unusable(line)
        if "\0" in text or not _is_unicode(text):
            return self._refuse(
                line, "text cannot contain a NUL or an unpaired surrogate; remove it"
            )
        if text == node.value:
            return Scalar(line, kind, text)
        # A value from the environment has no type; its parser decides.
        return Scalar(line, "text", text, from_environment=node.style is None)

    def _replaced(self, text: str) -> tuple[str, list[str]]:
        """Return the text with variables replaced, and the names of variables that are not set."""
        unknown: list[str] = []

        def value(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found["name"] or ""
            if name not in self._environment:
                unknown.append(name)
            return self._environment.get(name, "")

        return _VARIABLE.sub(value, text), unknown

    def _line_of(self, name: str, node: ScalarNode) -> int:
        """Return the line with the variable: a text may span several lines."""
        first, last = node.start_mark.line, node.end_mark.line
        for number in range(first, min(last + 1, len(self._source))):
            if f"${{{name}" in self._source[number]:
                return number + 1
        return int(first) + 1


def _explained(name: str) -> str:
    if not name:
        return "${ begins a variable: write ${NAME}, or $${ for the characters themselves"
    return f"the environment variable {name} is not set; set it, or write $${{{name}}} for the text"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
