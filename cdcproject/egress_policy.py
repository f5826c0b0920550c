"""What an installation reaches and reads for those who configure it, but are not its server's own.

An installation that is served to this machine alone is open to it: for development, tests and the
demo. One that others reach (ALLOWED_HOSTS names where) is closed, and its environment says what is
open all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from environs import Env

from cdcproject.conf.environment import names, stop
from listeners.salesforce.http.allowlist import Destinations, is_loopback_name, literal_of, parsed

#: Besides the addresses of this machine; Django's test client asks under the first.
_LOCAL_HOSTS = frozenset({"testserver", "*"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?|\*")
#: The word for an empty list: a variable that is empty is one that is not set.
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Readable:
    """What references to secrets may name: `variables`, where * at the end stands for any end, and
    all files below `folders`."""

    variables: tuple[str, ...]
    folders: tuple[Path, ...]


def is_local(allowed_hosts: list[str], *, debug: bool) -> bool:
    """Whether nothing says that others than this machine are served. A bare * names no host."""
    return debug or all(map(_is_of_this_machine, allowed_hosts))


def _is_of_this_machine(host: str) -> bool:
    if host.casefold() in _LOCAL_HOSTS or is_loopback_name(host):
        return True
    address = literal_of(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def outbound(env: Env, *, local: bool, debug: bool) -> Destinations:
    """CDC_OUTBOUND_ALLOWED: hosts, addresses, networks, and the words `loopback` and `private`."""
    default = (["loopback"] if local else []) + (["private"] if debug else [])
    try:
        return parsed(_listed(env, "CDC_OUTBOUND_ALLOWED", default), allows_http=debug)
    except ValueError as error:
        stop(
            f"CDC_OUTBOUND_ALLOWED: {error} is no host, address or network; give such as "
            "crm.internal, *.corp.example, 10.1.0.0/16, loopback, private, or none."
        )


def readable(env: Env, *, local: bool) -> Readable:
    """CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS."""
    variables = _listed(env, "CDC_SECRET_VARIABLES", ["*"] if local else ["SF_*", "SALESFORCE_*"])
    folders = _listed(env, "CDC_SECRET_FOLDERS", ["/"] if local else ["/run/secrets/salesforce"])
    for variable in variables:
        if not _VARIABLE.fullmatch(variable):
            stop(f"CDC_SECRET_VARIABLES: {variable!r} is no name; give such as SF_* or CRM_KEY.")
    for folder in folders:
        if not Path(folder).is_absolute():
            stop(f"CDC_SECRET_FOLDERS: {folder!r} is no absolute path, such as /run/secrets/crm.")
    return Readable(tuple(variables), tuple(map(Path, folders)))


def _listed(env: Env, name: str, default: list[str]) -> list[str]:
    found = names(env, name)
    return [] if found == [_NONE] else found or default
