"""The required and the optional fields of a kind of login, from the rules for connections."""

from __future__ import annotations

from listeners.models.connection_rules import KINDS


def fields(auth: str) -> str:
    """Return two sentences in Markdown. Raises KeyError for an unknown kind."""
    kind = KINDS[auth]
    return f"Required: {_listed(kind.required)}. Optional: {_listed(kind.optional)}."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
