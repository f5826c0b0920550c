"""The apps of CDC_APPS, and our own packages, which a folder of the user must not shadow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from cdcproject.conf.environment import stop

#: The packages beside cdcproject.
PACKAGES = ("listeners", "audit", "handlers", "mirror", "consumer", "api", "console", "simulator")
_HOME = Path(__file__).resolve().parents[2]


def refuse_shadowed() -> None:
    """Stop start-up when a folder or module with the name of our package comes first on the path.

    It would be imported silently in place of our package.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent == _HOME / name:
            continue
        hiding = found.parent if found.name == "__init__.py" else found
        stop(
            f"{hiding} shadows the package {name} of salesforce-cdc in {_HOME / name}, which has "
            "the same name. Rename yours, or move it into a package of your own."
        )


def user_apps(names: Sequence[str], ours: Collection[str]) -> list[str]:
    """Return the user's apps, to be installed after `ours`. A wrong name stops start-up."""
    for name in names:
        if name in ours or names.count(name) > 1:
            stop(f"CDC_APPS lists {name}, which is already installed; list each app once.")
        if not _is_there(name):
            stop(
                f"CDC_APPS: there is no app {name!r}; list packages on the Python path, separated "
                "by commas, such as crm for a folder crm beside manage.py."
            )
    return list(names)


def _is_there(name: str) -> bool:
    """Return whether a name is a package, or the path of an AppConfig like crm.apps.CrmConfig."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError as error:
        # An existing module that fails to import another one raises its own error.
        if not f"{name}.".startswith(f"{error.name}."):
            raise
    module, _, config = name.rpartition(".")
    return bool(module) and _is_there(module) and hasattr(import_module(module), config)
