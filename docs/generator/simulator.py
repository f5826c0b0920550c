"""The operations of the simulator's control API, as a table."""

from __future__ import annotations

from docs.generator.blocks import table
from simulator.control.operations import OPERATIONS


def control(_argument: str) -> str:
    """Each operation, and a link to its section."""
    rows = [(f"[`{name}`](#{_anchor(name)})", told) for name, told in OPERATIONS.items()]
    return table(("operation", ""), rows)


def _anchor(name: str) -> str:
    """The anchor of the heading `` `METHOD /_simulator/path` ``, as mkdocs makes it."""
    method, _, path = name.partition(" ")
    return f"{method}-_simulator{path.replace('/', '')}".lower()
