"""The operations of the API, from its own description."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from manual.blocks import table

_ROOT = "/api/v1/"
#: Of every list, and told once.
_OF_LISTS = {"cursor", "page_size"}

Operations = dict[str, dict[str, Any]]


def operations(resource: str) -> str:
    """What it is, and a table of the operations below `/api/v1/{resource}/`.

    Raises KeyError when there are none.
    """
    paths = {
        path.removeprefix(_ROOT): found
        for path, found in _described()["paths"].items()
        if path.startswith(f"{_ROOT}{resource}/")
    }
    about = _about(paths[f"{resource}/"])
    rows = [_row(path, found, about) for path, found in paths.items()]
    return f"{about}\n\n{table(('operation', 'what it does', 'parameters'), rows)}"


@cache
def _described() -> dict[str, Any]:
    described: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return described


def _about(found: Operations) -> str:
    return _text(found["get"])


def _row(path: str, found: Operations, about: str) -> tuple[str, str, str]:
    methods = ", ".join(method.upper() for method in found)
    texts = dict.fromkeys(_text(one) for one in found.values())
    does = " ".join(text for text in texts if text != about)
    names = [name for one in found.values() for name in _parameters(one)]
    return f"`{methods} {path}`", does, ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _text(operation: dict[str, Any]) -> str:
    return " ".join(str(operation.get("description", "")).split())


def _parameters(operation: dict[str, Any]) -> list[str]:
    """In the query, but for those of every list."""
    found = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    return [name for name in found if name not in _OF_LISTS]
