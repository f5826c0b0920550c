"""Parsers that turn a node of the file into a field value.

Wrong             write the value as the message says, which completes "key: …" without secrets
AlreadyReported   the node has a problem that was reported before
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from django.db.models import Choices

from consumer.configuration.errors import suggestion
from consumer.configuration.yaml_tree import Items, Mapping, Node, Scalar, Unusable

Parser = Callable[[Node], Any]


class Wrong(Exception):
    """The value is invalid. Write it as the message says."""


class AlreadyReported(Exception):
    """The value is unusable for a reason that was reported already. Correct that line."""


def text(node: Node) -> str:
    match node:
        case Scalar(kind="text" | "int" | "float"):
            return node.text
        case Scalar(kind="bool"):
            raise Wrong(f"give text; put {node.text} in quotes if it is meant as text")
        case _:
            raise Wrong(f"give text, not {_described(node)}")


def choice(choices: type[Choices]) -> Parser:
    def read(node: Node) -> str:
        value = text(node)
        if value not in choices.values:
            raise Wrong(f"{value!r} is not valid; {suggestion(value, choices.values)}")
        return value

    return read


def boolean(node: Node) -> bool:
    word = node.text.lower() if isinstance(node, Scalar) else ""
    if isinstance(node, Scalar) and (node.kind == "bool" or node.from_environment):
        if word in ("true", "yes", "on"):
            return True
        if word in ("false", "no", "off"):
            return False
    raise Wrong(f"write true or false, not {_described(node)}")


def number(node: Node) -> float:
    try:
        value = float(_written(node, "int", "float"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        endless = isinstance(node, Scalar) and node.kind == "float"
        raise Wrong("give a finite number" if endless else f"give a number, not {_described(node)}")
    return value


def whole_number(node: Node) -> int:
    try:
        return int(_written(node, "int"))
    except ValueError:
        raise Wrong(f"give a whole number, not {_described(node)}") from None


def api_version(node: Node) -> str:
    value = text(node)
    if not re.fullmatch(r"\d+(\.\d)?", value, re.ASCII):
        raise Wrong("write a version such as 67.0")
    return value if "." in value else f"{value}.0"


def names_like(example: str) -> Parser:
    """Return a parser of a list of texts, which names `example` in its error message."""

    def read(node: Node) -> list[str]:
        if not isinstance(node, Items):
            raise Wrong(f"give a list such as {example}, not {_described(node)}")
        return [text(item) for item in node.items if not _is_unusable(item)]

    return read


def object_like(example: str) -> Parser:
    """Return a parser of a JSON object, which names `example` in its error message."""

    def read(node: Node) -> Any:
        if not isinstance(node, Mapping):
            raise Wrong(f"give a mapping such as {example}, not {_described(node)}")
        return _json(node)

    return read


names = names_like("[Phone, Name]")
json_object = object_like("{url: …}")


def _json(node: Node) -> Any:
    match node:
        case Mapping():
            return {key: _json(entry.value) for key, entry in node.entries.items()}
        case Items():
            return [_json(item) for item in node.items]
        case Scalar(kind="null"):
            return None
        case Scalar():
            return _PLAIN[node.kind](node)
        case Unusable():
            raise AlreadyReported


_PLAIN: dict[str, Parser] = {"bool": boolean, "int": whole_number, "float": number, "text": text}


def _is_unusable(node: Node) -> bool:
    if isinstance(node, Unusable):
        raise AlreadyReported
    return False


def _written(node: Node, *kinds: str) -> str:
    """Return the number as written, or an empty string for another kind of node."""
    if isinstance(node, Scalar) and (node.kind in kinds or node.from_environment):
        return node.text
    return ""


def _described(node: Node) -> str:
    match node:
        case Items():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(kind="bool"):
            return "true or false"
        case Scalar(kind="int" | "float"):
            return "this number"
        case _:
            return "this text"
