"""The current values of a connection's references, which are part of its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from listeners.secrets.encrypted_field import REFERENCES, Secret, SecretUnavailable


def reference_values(
    secrets: Sequence[Secret], settings: Sequence[object], tls: object
) -> list[str]:
    """Return the values of all references, and the modification times of TLS files. Secret."""
    return [
        *(_value(secret.reference) for secret in secrets if secret.reference),
        *(_value(text) for text in _texts([*settings]) if _is_reference(text)),
        *(_standing(path) for path in _texts(tls)),
    ]


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _is_reference(text: str) -> bool:
    # In a form-encoded payload the reference follows `name=`.
    return any(part.startswith(REFERENCES) for part in (text, *text.replace("&", "=").split("=")))


def _value(text: str) -> str:
    parts = [text] if text.startswith(REFERENCES) else text.replace("&", "=").split("=")
    return "\0".join(map(_looked_up, parts))


def _looked_up(text: str) -> str:
    if not text.startswith(REFERENCES):
        return text
    try:
        return Secret(text).reveal()
    except SecretUnavailable as unavailable:
        return str(unavailable)


def _standing(path: str) -> str:
    try:
        return f"{path} {Path(path).stat().st_mtime_ns}"
    except (OSError, ValueError):
        return f"{path} cannot be read"
