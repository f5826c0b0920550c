"""Rules for the URLs of other projects' brokers and result backends. No message quotes the URL."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urlsplit

from listeners import egress

#: The schemes and default ports of each kind of server.
REDIS = {"redis": 6379, "rediss": 6379}
RABBITMQ = {"amqp": 5672, "amqps": 5671}
BROKERS = {**REDIS, **RABBITMQ}
_WITH_TLS = {"rediss", "amqps"}
_REDIS_PATH = re.compile(r"/?|/[0-9]{1,9}")
_ESCAPE = "Write special characters of the password, such as / ? # @ ;, as %XX."


class InvalidUrl(ValueError):
    """A URL is not one of a broker or result backend. The message tells how to correct it."""


def scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def uses_tls(url: str) -> bool:
    return scheme(url) in _WITH_TLS


def without_login(url: str) -> str:
    """Return the URL without user and password; empty if it is not valid."""
    try:
        servers = list(_servers(url, BROKERS))
    except InvalidUrl:
        return ""
    hosts = ((parts, parts.netloc.rpartition("@")[2]) for parts in servers)
    return ";".join(f"{parts.scheme}://{host}{parts.path}" for parts, host in hosts)


def flaw(url: str, schemes: dict[str, int]) -> str:
    """Return why the URL cannot be used, without resolving its hosts; empty if it can."""
    try:
        for parts in _servers(url, schemes):
            host = str(parts.hostname)
            if found := egress.url_flaw(f"https://{_bracketed(host)}"):
                return found
            is_plain = parts.scheme not in _WITH_TLS
            if is_plain and egress.url_flaw(f"http://{_bracketed(host)}"):
                tls = " or ".join(f"{name}://" for name in schemes if name in _WITH_TLS)
                return (
                    f"{host} requires TLS ({tls}): a connection without it is allowed only to "
                    "hosts in CDC_OUTBOUND_ALLOWED."
                )
    except InvalidUrl as invalid:
        return str(invalid)
    return ""


def check_addresses(url: str) -> None:
    """Resolve the hosts of a valid URL, and check their addresses. Blocks on DNS.

    Raises DestinationRefused if no address of a host is allowed, and OSError if none resolves.
    """
    failure: OSError | None = None
    for parts in _servers(url, BROKERS):
        host = str(parts.hostname)
        try:
            egress.destinations().resolve(host, parts.port or BROKERS[parts.scheme])
        except socket.gaierror as error:
            failure = OSError(f"the name {host} cannot be resolved ({error.strerror})")
        else:
            return
    if failure is not None:
        raise failure


def secrets_in(url: str) -> list[str]:
    """Return the parts of a URL that no message may show: itself, and passwords in both forms."""
    found = {url, *url.split(";")} if url else set()
    for server in url.split(";"):
        with suppress(ValueError):
            if password := urlsplit(server).password:
                found |= {password, unquote(password)}
    return sorted(found, key=len, reverse=True)


def _servers(url: str, schemes: dict[str, int]) -> Iterator[SplitResult]:
    """Yield the parts of each server's URL; several are separated by semicolons.

    Raises InvalidUrl.
    """
    found = [_split(server, schemes) for server in url.split(";")]
    if len(found) > 1 and schemes == REDIS:
        raise InvalidUrl(f"A result backend is a single server. {_ESCAPE}")
    if len({parts.scheme for parts in found}) > 1:
        raise InvalidUrl("The URLs between semicolons must start with the same scheme. " + _ESCAPE)
    yield from found


def _split(url: str, schemes: dict[str, int]) -> SplitResult:
    known = [f"{scheme}://" for scheme in schemes]
    names = f"{', '.join(known[:-1])} or {known[-1]}"
    # `urlsplit` drops such characters and changes case, but Celery does not.
    if any(character <= " " for character in url):
        raise InvalidUrl("The URL contains a space, a line break or a control character.")
    try:
        parts = urlsplit(url)
        _ = parts.port, str(parts.hostname).encode("idna")  # as it is when it is resolved
    except ValueError:
        raise InvalidUrl(f"The URL's host or port is not valid. {_ESCAPE}") from None
    if not url.startswith(tuple(known)):
        raise InvalidUrl(f"The URL must start with {names}, in lower case.")
    if not parts.hostname:
        raise InvalidUrl(f"The URL has no host. {_ESCAPE}")
    if parts.query or parts.fragment:
        raise InvalidUrl(
            "The URL must end with the database or virtual host: options after ? or # are not "
            f"supported, and TLS certificates are always verified. {_ESCAPE}"
        )
    if parts.scheme in REDIS and not _REDIS_PATH.fullmatch(parts.path):
        raise InvalidUrl(f"The path of a Redis URL must be a database number, as in /0. {_ESCAPE}")
    return parts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
