"""The required and the optional fields of kinds of login, from the rules for connections."""

from __future__ import annotations

from collections.abc import Iterable

from docs.generator.blocks import table
from listeners.models.connection_rules import KINDS

#: The order of the kinds in every table and on every page: the recommended ones first.
ORDER = ("client_credentials", "jwt_bearer", "refresh_token", "password", "soap", "bearer_token")


def fields(auth: str) -> str:
    """Return two sentences in Markdown. Raises KeyError for an unknown kind."""
    kind = KINDS[auth]
    return f"Required: {_listed(kind.required)}. Optional: {_listed(kind.optional)}."


def kinds(_argument: str) -> str:
    """Return a table of all kinds and a sentence with the fields that all OAuth kinds share.

    Raises ValueError for a kind that ORDER lacks.
    """
    common = [name for name in _oauth()[0] if all(name in names for names in _oauth())]
    rows = [
        (f"`{auth}`", _listed(KINDS[auth].required), _optional(KINDS[auth].optional, common))
        for auth in sorted(KINDS, key=ORDER.index)
    ]
    head = ("`auth`", "required", "optional")
    return f"{table(head, rows)}\n\nThe common OAuth fields are {_listed(common)}."


def _oauth() -> list[tuple[str, ...]]:
    """Return the optional fields of each OAuth kind."""
    return [kind.optional for kind in KINDS.values() if kind.is_oauth]


def _optional(names: tuple[str, ...], common: list[str]) -> str:
    if not set(common) <= set(names):
        return _listed(names)
    return f"{_listed(name for name in names if name not in common)}, and the common OAuth fields"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
