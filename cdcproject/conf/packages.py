"""The apps of CDC_APPS, and our own packages, whose names others use too."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core import checks

from cdcproject.conf.environment import stop
from cdcproject.conf.folders import BASE_DIR

#: The packages of every process, beside cdcproject.
PACKAGES = ("listeners", "audit", "handlers", "mirror", "consumer", "api", "console", "simulator")
_INSTALLED = ("cdcproject", *PACKAGES, "demo", "pytest_cdc")
_DISTRIBUTION = "salesforce-cdc"
#: The line of one of these packages in the list of a distribution's files.
_RECORDED = re.compile(rf"^({'|'.join(_INSTALLED)})(?:/__init__)?\.py,", re.MULTILINE)


def refuse_shadowed(names: Iterable[str] = PACKAGES) -> None:
    """Stop start-up when a folder or module with the name of our package comes first on the path.

    It would be imported silently in place of our package.
    """
    for name in names:
        if hiding := _elsewhere(name, find_spec(name)):
            stop(
                f"{hiding} shadows the package {name} of salesforce-cdc in {BASE_DIR / name}, "
                "which has the same name. Rename yours, or move it into a package of your own."
            )


def _elsewhere(name: str, spec: ModuleSpec | None) -> Path | None:
    """Return the module or the folder of the package that was found, unless it is ours."""
    found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if found is None or found.parent == BASE_DIR / name:
        return None
    return found.parent if found.name == "__init__.py" else found


@checks.register("packages")
def check_packages(**_: Any) -> list[checks.CheckMessage]:
    """Return cdcproject.W001 for each module on the path with the name of one of our packages, and
    cdcproject.E001 for each distribution that has written its files into one of them."""
    return [*_namesakes(), *_overlaps()]


def _namesakes() -> Iterator[checks.CheckMessage]:
    for name in _INSTALLED:
        found = (_elsewhere(name, PathFinder.find_spec(name, [entry])) for entry in sys.path)
        for other in dict.fromkeys(filter(None, found)):
            yield checks.Warning(
                f"{other} has the name of the package {name} of salesforce-cdc in "
                f"{BASE_DIR / name}: only the one that comes first on the Python path is imported.",
                hint="Rename yours, or move it into a package of your own. If it is installed, "
                "use a virtual environment without it.",
                id="cdcproject.W001",
            )


def _overlaps() -> Iterator[checks.CheckMessage]:
    for other in distributions(path=[str(BASE_DIR)]):
        names = sorted({*_RECORDED.findall(other.read_text("RECORD") or "")})
        if names and other.name != _DISTRIBUTION:
            yield checks.Error(
                f"{other.name} {other.version} is installed into the same folders as "
                f"salesforce-cdc, and overwrites its files or is overwritten: {', '.join(names)} "
                f"in {BASE_DIR}.",
                hint="Install each of the two into a virtual environment of its own, and "
                "salesforce-cdc again.",
                id="cdcproject.E001",
            )


def user_apps(names: Sequence[str], ours: Collection[str]) -> list[str]:
    """Return the user's apps, to be installed after `ours`. A wrong name stops start-up."""
    for name in names:
        if name in ours or names.count(name) > 1:
            stop(f"CDC_APPS lists {name}, which is already installed; list each app once.")
        if not _is_there(name):
            stop(
                f"CDC_APPS: there is no app {name!r}; list packages on the Python path, separated "
                "by commas, such as crm for a folder crm in the current folder."
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
