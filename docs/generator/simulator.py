"""The operations of the simulator's control API, as a table."""

from __future__ import annotations

from docs.generator.blocks import table
from simulator.control.operations import described


def control(_argument: str) -> str:
    """Return a table of the operations, each linked to its section."""
    rows = [(f"[`{name}`](#{_anchor(name)})", summary) for name, summary in described().items()]
    return table(("operation", ""), rows)


def _anchor(name: str) -> str:
    """Return the anchor that mkdocs makes of the heading `` `METHOD /_simulator/path` ``."""
    method, _, path = name.partition(" ")
    return f"{method}-_simulator{path.replace('/', '')}".lower()
