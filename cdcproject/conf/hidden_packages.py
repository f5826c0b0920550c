"""Stop start-up when a user's folder shadows one of our packages."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

#: The packages beside this one.
PACKAGES = ("listeners", "audit", "handlers", "consumer", "api", "console", "simulator")
_HOME = Path(__file__).resolve().parents[2]


def refuse() -> None:
    """Exit when a folder or module of the same name comes first on the path.

    It would be imported silently in place of our package.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent == _HOME / name:
            continue
        hiding = found.parent if found.name == "__init__.py" else found
        sys.exit(
            f"configuration error: {hiding} shadows the package {name} of salesforce-cdc in "
            f"{_HOME / name}, which has the same name. Rename yours, or move it into a package of "
            "your own."
        )
