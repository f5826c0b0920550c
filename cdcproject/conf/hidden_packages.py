"""Stop start-up where a folder of the user hides a package of ours."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

#: They stand beside this one.
PACKAGES = ("listeners", "audit", "handlers", "consumer", "api", "console", "simulator")
_HOME = Path(__file__).resolve().parents[2]


def refuse() -> None:
    """A folder or a module of the same name that comes first on the path is imported in its place:
    silently, where it has what is asked of it."""
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent == _HOME / name:
            continue
        hiding = found.parent if found.name == "__init__.py" else found
        sys.exit(
            f"configuration error: {hiding} hides the package {name} of salesforce-cdc, which is "
            f"in {_HOME / name}: both have the same name. Rename yours, or move it into a package "
            "of yours."
        )
