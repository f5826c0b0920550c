"""Which hosts, environment variables and files the users who configure an installation may use.

An installation that only this machine reaches is permissive, for development, tests and the demo.
One that others reach, by ALLOWED_HOSTS, is strict, and its environment lists the exceptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from environs import Env

from cdcproject.conf.environment import names, stop
from listeners.salesforce.http.allowlist import Destinations, is_loopback_name, literal_of, parsed

#: Host names besides the addresses of this machine; Django's test client uses the first.
_LOCAL_HOSTS = frozenset({"testserver", "*"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?|\*")
#: The word for an empty list, since an empty variable counts as not set.
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Readable:
    """The names that references to secrets may use.

    variables   names, in which * at the end matches any suffix
    folders     folders whose files may be read, at any depth
    """

    variables: tuple[str, ...]
    folders: tuple[Path, ...]


def is_local(allowed_hosts: list[str], *, debug: bool) -> bool:
    """Return whether only this machine is served. A bare * counts as local."""
    return debug or all(map(_is_of_this_machine, allowed_hosts))


def _is_of_this_machine(host: str) -> bool:
    if host.casefold() in _LOCAL_HOSTS or is_loopback_name(host):
        return True
    address = literal_of(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def outbound(env: Env, *, local: bool, debug: bool) -> Destinations:
    """Read CDC_OUTBOUND_ALLOWED: hosts, addresses, networks, `loopback` and `private`."""
    default = (["loopback"] if local else []) + (["private"] if debug else [])
    try:
        return parsed(_listed(env, "CDC_OUTBOUND_ALLOWED", default), allows_http=debug)
    except ValueError as error:
        stop(
            f"CDC_OUTBOUND_ALLOWED: {error} is not a host, address or network; give for example "
            "crm.internal, *.corp.example, 10.1.0.0/16, loopback, private, or none."
        )


def readable(env: Env, *, local: bool) -> Readable:
    """Read CDC_SECRET_VARIABLES and CDC_SECRET_FOLDERS."""
    variables = _listed(env, "CDC_SECRET_VARIABLES", ["*"] if local else ["SF_*", "SALESFORCE_*"])
    folders = _listed(env, "CDC_SECRET_FOLDERS", ["/"] if local else ["/run/secrets/salesforce"])
    for variable in variables:
        if not _VARIABLE.fullmatch(variable):
            stop(
                f"CDC_SECRET_VARIABLES: {variable!r} is not a variable's name; give for example "
                "SF_* or CRM_KEY."
            )
    for folder in folders:
        if not Path(folder).is_absolute():
            stop(
                f"CDC_SECRET_FOLDERS: {folder!r} is not an absolute path; give for example "
                "/run/secrets/crm."
            )
    return Readable(tuple(variables), tuple(map(Path, folders)))


def _listed(env: Env, name: str, default: list[str]) -> list[str]:
    found = names(env, name)
    return [] if found == [_NONE] else found or default
