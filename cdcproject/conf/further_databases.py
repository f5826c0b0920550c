"""Further databases, from DATABASE_URL_<ALIAS>: those of other projects, with mirrored tables."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from environs import Env

from cdcproject.conf.environment import further_secrets, stop
from cdcproject.conf.servers import SQLITE, database

URL, PASSWORD = "DATABASE_URL_", "DATABASE_PASSWORD_"
#: How documentation names the variables.
VARIABLES = (f"{URL}<ALIAS>", f"{PASSWORD}<ALIAS>")
_ALIAS = re.compile(r"[A-Z][A-Z0-9_]{0,49}")


def further_databases(env: Env, var_dir: Path, default: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the further databases by alias, with the options of the default one.

    The alias is the lower-case end of the variable's name.
    """
    found: dict[str, Any] = {}
    for variable in further_secrets(os.environ):
        name = variable.removeprefix(URL)
        if name == variable:
            continue
        url = env.str(variable, "")
        if not url:
            continue
        _check_alias(variable, name)
        password = env.str(f"{PASSWORD}{name}", "")
        config = database(url, var_dir, password=password, suffix=f"_{name}")
        if config["ENGINE"] == SQLITE and _same_file(config, default):
            stop(f"{variable} is the same file as DATABASE_URL; use the alias default instead.")
        found[name.lower()] = config
    _check_passwords(env, found)
    return found


def _check_alias(variable: str, name: str) -> None:
    if not _ALIAS.fullmatch(name):
        stop(
            f"{variable}: the alias after {URL} must have up to 50 capitals, digits and "
            "underscores, and start with a capital."
        )
    if name == "DEFAULT":
        stop(f"{variable}: the alias default is taken; its variable is DATABASE_URL.")


def _check_passwords(env: Env, found: dict[str, Any]) -> None:
    for variable in further_secrets(os.environ):
        name = variable.removeprefix(PASSWORD)
        if name != variable and env.str(variable, "") and name.lower() not in found:
            stop(f"{variable} is set, but {URL}{name} is not.")


def _same_file(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        one["ENGINE"] == other["ENGINE"]
        and Path(one["NAME"]).resolve() == Path(other["NAME"]).resolve()
    )
