"""Finds diffs of long texts, and cleared fields, in the body of a change event.

The Pub/Sub API lists both in the event's header (`diffFields`, `nulledFields`). The Streaming API
sends neither list, so they are found in the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: The digests of the old and the new text; the digest of an empty text may be missing.
_HEADER_LINES = re.compile(r"---( [^\r\n]*)?\r?\n\+\+\+( [^\r\n]*)?(\r?\n|$)")


def is_diff(value: object) -> bool:
    """Return whether a field's value is a diff: `{"diff": "--- …\\n+++ …\\n@@ …"}`.

    It cannot be confused with a compound field: none has `diff` as its only part.
    """
    if not isinstance(value, dict) or len(value) != 1:
        return False
    text = value.get("diff")
    return isinstance(text, str) and _HEADER_LINES.match(text) is not None


def diff_names(body: Mapping[str, Any], sent: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of the fields whose values are diffs.

    `sent` is the header's list; if it is None, fields are recognised by the form of their values.
    """
    if sent is not None:
        return tuple(sent)
    return tuple(name for name, value in _fields(body) if is_diff(value))


def nulled_names(body: Mapping[str, Any], sent: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of the fields that were cleared.

    `sent` is the header's list; if it is None, the fields are those that are null in the body.
    """
    if sent is not None:
        return tuple(sent)
    return tuple(name for name, value in _fields(body) if value is None)


def _fields(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield fields with their values; parts of compound fields are named like `Name.FirstName`."""
    for name, value in body.items():
        if isinstance(value, dict) and not is_diff(value):
            yield from ((f"{name}.{part}", within) for part, within in value.items())
        else:
            yield name, value
