"""What references to secrets may name: whoever may edit a connection chooses where its secrets are
sent, and must not have the server's own sent there.

CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS say what is meant for connections.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from cdcproject.conf.environment import SECRETS

#: Never read for a connection, whatever is allowed: they are the server's.
OWN_VARIABLES = frozenset({*SECRETS, "EMAIL_HOST_USER"})
#: Of the system: a process's environment and memory are files here.
_SYSTEM_FOLDERS = tuple(map(Path, ("/proc", "/sys", "/dev")))


def flaw(reference: str) -> str:
    """Why `env:NAME` or `file:PATH` may not be read; empty when it may, and for all other text.

    What the reference leads to is not looked at.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name and not _may_read_variable(name):
        return _said(f"the environment variable {name}", "CDC_SECRET_VARIABLES", _variables())
    if kind == "file" and name and not _may_read_file(name):
        return _said(f"the file {name}", "CDC_SECRET_FOLDERS", _folders())
    return ""


def sentence(text: str) -> str:
    """Of a message: as it stands at a field."""
    return f"{text[:1].upper()}{text[1:]}."


def _may_read_variable(name: str) -> bool:
    return name not in OWN_VARIABLES and any(
        name.startswith(allowed[:-1]) if allowed.endswith("*") else name == allowed
        for allowed in _variables()
    )


def _may_read_file(name: str) -> bool:
    try:
        path = Path(name).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, or a null character
        return False
    if path in _own_files() or any(path.is_relative_to(one) for one in _SYSTEM_FOLDERS):
        return False
    return any(path.is_relative_to(folder.resolve()) for folder in _folders())


def _own_files() -> set[Path]:
    """Those that hold the server's own secrets."""
    named = [os.environ.get(f"{variable}_FILE", "") for variable in OWN_VARIABLES]
    made = [settings.VAR_DIR / name for name in ("secret_key", "encryption_keys")]
    return {path.resolve() for path in (*map(Path, filter(None, named)), *made)}


def _variables() -> tuple[str, ...]:
    variables: tuple[str, ...] = settings.CDC_SECRETS_READABLE.variables
    return variables


def _folders() -> tuple[Path, ...]:
    folders: tuple[Path, ...] = settings.CDC_SECRETS_READABLE.folders
    return folders


def _said(what: str, setting: str, allowed: tuple[object, ...]) -> str:
    listed = ", ".join(map(str, allowed)) or "none"
    return (
        f"{what} is not meant for connections: {setting} of the server names what is ({listed}, "
        "without the server's own secrets)"
    )
