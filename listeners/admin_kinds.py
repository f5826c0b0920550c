"""Which fields of a connection's form are for which kind of authentication."""

from __future__ import annotations

import json
from typing import Any

from listeners.models.connection_rules import KINDS, OF_A_KIND

#: For the form's script.
NEEDS = json.dumps(
    {
        kind: {"required": needs.required, "heeded": sorted(needs.heeded)}
        for kind, needs in KINDS.items()
    }
)


def conditions() -> dict[str, str]:
    """Alpine's condition for each field that not all kinds heed."""
    return {name: _condition(name) for name in sorted(OF_A_KIND)}


def _condition(name: str) -> str:
    kinds = [kind for kind, needs in KINDS.items() if name in needs.heeded]
    return " || ".join(f"auth == '{kind}'" for kind in kinds)


def of_kind(fieldsets: Any, auth: str) -> list[Any]:
    """The fieldsets with what that kind heeds, and no heading over nothing."""
    others = OF_A_KIND - KINDS[auth].heeded if auth in KINDS else set()
    kept = [
        (title, {**options, "fields": [name for name in options["fields"] if name not in others]})
        for title, options in fieldsets
    ]
    return [(title, options) for title, options in kept if options["fields"]]
