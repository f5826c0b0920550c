"""Which environment variables and files a connection's secrets may refer to.

A user who may edit a connection chooses the host that receives its secrets, so references must not
reach the server's own secrets. CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS list what is allowed.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from cdcproject.conf.environment import SECRETS, further_secrets

#: The server's own secrets, which no connection may read, whatever the settings allow.
OWN_VARIABLES = frozenset({*SECRETS, "EMAIL_HOST_USER"})
#: Folders that are never allowed: they expose processes' environment and memory as files.
_SYSTEM_FOLDERS = tuple(map(Path, ("/proc", "/sys", "/dev")))


def flaw(reference: str) -> str:
    """Return why `env:NAME` or `file:PATH` may not be read; empty if it may, and for other text.

    Does not check whether the variable or file exists.
    """
    kind, _, name = reference.partition(":")
    allowed = settings.CDC_SECRETS_READABLE
    if kind == "env" and name and not _may_read_variable(name):
        variable = f"the environment variable {name}"
        return _refusal(variable, "CDC_SECRET_VARIABLES", allowed.variables)
    if kind == "file" and name and not _may_read_file(name):
        return _refusal(f"the file {name}", "CDC_SECRET_FOLDERS", allowed.folders)
    return ""


def sentence(text: str) -> str:
    """Return a message as a sentence, with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _may_read_variable(name: str) -> bool:
    return not _is_own(name) and any(
        name.startswith(allowed[:-1]) if allowed.endswith("*") else name == allowed
        for allowed in settings.CDC_SECRETS_READABLE.variables
    )


def _is_own(variable: str) -> bool:
    return variable in OWN_VARIABLES or bool(further_secrets([variable]))


def _may_read_file(name: str) -> bool:
    try:
        path = Path(name).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, or a null character
        return False
    if path in _own_files() or any(path.is_relative_to(folder) for folder in _SYSTEM_FOLDERS):
        return False
    return any(
        path.is_relative_to(folder.resolve()) for folder in settings.CDC_SECRETS_READABLE.folders
    )


def _own_files() -> set[Path]:
    """Return the files that contain the server's own secrets."""
    own = (*OWN_VARIABLES, *further_secrets(os.environ))
    named = [os.environ.get(f"{variable}_FILE", "") for variable in own]
    made = [settings.VAR_DIR / name for name in ("secret_key", "encryption_keys")]
    return {path.resolve() for path in (*map(Path, filter(None, named)), *made)}


def _refusal(reference: str, setting: str, allowed: tuple[object, ...]) -> str:
    listed = ", ".join(map(str, allowed)) or "none"
    return (
        f"{reference} is not allowed as a reference: the server's setting {setting} lists what is "
        f"allowed ({listed}, without the server's own secrets)"
    )
