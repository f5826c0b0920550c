"""The host names and origins under which browsers reach the web server."""

from __future__ import annotations

import re

from environs import Env

from cdcproject.conf.environment import names, stop

_NAME = r"[a-z0-9-]+(\.[a-z0-9-]+)*"
_IPV6 = r"\[[0-9a-f:.]+\]"
#: As Django compares them: with the host of a request, which has no port then, in any case.
_HOST = re.compile(rf"\*|\.?{_NAME}|{_IPV6}", re.IGNORECASE)
#: As browsers send them: in lower case, and without a path.
_ORIGIN = re.compile(rf"https?://((\*\.)?{_NAME}|{_IPV6})(:[0-9]+)?")


def hosts(env: Env) -> list[str]:
    """Return ALLOWED_HOSTS; by default this machine. Django ignores an entry of another form."""
    found = names(env, "ALLOWED_HOSTS")
    for host in found:
        if not _HOST.fullmatch(host):
            stop(
                f"ALLOWED_HOSTS: {host!r} matches no host; give names or addresses without scheme, "
                "port and path, such as cdc.example.com, .example.com for a domain and all names "
                "in it, or [::1]."
            )
    return found or ["localhost", "127.0.0.1", "[::1]"]


def origins(env: Env) -> list[str]:
    """Return CSRF_TRUSTED_ORIGINS. Django compares an entry with the whole header `Origin`."""
    found = names(env, "CSRF_TRUSTED_ORIGINS")
    for origin in found:
        if not _ORIGIN.fullmatch(origin):
            stop(
                f"CSRF_TRUSTED_ORIGINS: {origin!r} matches no origin; give a scheme and a host in "
                "lower case, without a path or a slash at the end, such as "
                "https://cdc.example.com or https://*.example.com."
            )
    return found
