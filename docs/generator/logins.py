"""What a kind of login needs and heeds, from the rules that connections are held to."""

from __future__ import annotations

from listeners.models.connection_rules import KINDS


def fields(auth: str) -> str:
    """Two sentences. Raises KeyError for an unknown kind."""
    kind = KINDS[auth]
    return f"Needs {_listed(kind.required)}; heeds besides {_listed(kind.optional)}."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
