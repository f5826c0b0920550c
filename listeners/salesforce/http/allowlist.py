"""Allowed destinations of requests: the public internet over https, and listed hosts and networks.

A host name is checked when it is resolved, and the connection is made to exactly the address that
was checked, which prevents DNS rebinding.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from listeners.salesforce.errors import DestinationRefused, Reaction

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Words in a list of destinations, and the entries that they stand for.
WORDS = {
    "loopback": ("127.0.0.0/8", "::1/128", "localhost", "*.localhost"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
}
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last four bytes
_SETTING = "CDC_OUTBOUND_ALLOWED"
_INSIDE = f"is not a public address; correct it, or add the host to {_SETTING}"
_PLAIN = f"requires https: plain http is allowed only for hosts in {_SETTING}"


@dataclass(frozen=True, slots=True)
class Destinations:
    """Allowed destinations.

    ``names`` are hosts, or ``*.example.com`` for all subdomains, which are trusted whatever they
    resolve to. Listed destinations may use plain http; all others require https, unless
    ``allows_http``.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    allows_http: bool = False
    is_anywhere: bool = False

    # Queries

    def flaw(self, url: str) -> str:
        """Return why no request may go to ``url``, without resolving it; empty when it may."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self.trusts(host):
            return ""
        literal = literal_of(host)
        is_listed = literal is not None and self._lists(literal)
        if is_loopback_name(host) or (literal is not None and not self._takes(literal)):
            return f"{host} {_INSIDE}."
        if parts.scheme == "http" and not (is_listed or self.allows_http):
            return f"{host} {_PLAIN}."
        return ""

    def host_flaw(self, host: str) -> str:
        """Return why no request may go to a host, such as a proxy; empty when it may."""
        return self.flaw(f"https://{f'[{host}]' if ':' in host and host[0] != '[' else host}")

    def trusts(self, host: str) -> bool:
        """Return whether the host is listed by name, or all destinations are allowed."""
        name = host.rstrip(".").casefold()
        above = name.split(".")
        return (
            self.is_anywhere
            or name in self.names
            or any(f"*.{'.'.join(above[n:])}" in self.names for n in range(1, len(above)))
        )

    def check(self, url: str) -> None:
        """Raise ``DestinationRefused`` if no request may go to ``url``."""
        if flaw := self.flaw(url):
            raise DestinationRefused(flaw)

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the allowed addresses of a host, best first. Blocks on DNS.

        Raises ``DestinationRefused`` if none of them is allowed, and ``socket.gaierror``.
        """
        bare = host.strip("[]")
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if self.trusts(bare):
            return addresses
        allowed = [found for found in addresses if self._takes(ipaddress.ip_address(found))]
        if not allowed:
            # Retried, because the name may resolve to another address later.
            why = f"the address of {bare} {_INSIDE}."
            raise DestinationRefused(why, Reaction.BACK_OFF_LONG)
        return allowed

    # Inside

    def _takes(self, address: IpAddress) -> bool:
        return self._lists(address) or is_public(address)

    def _lists(self, address: IpAddress) -> bool:
        plain = _unwrapped(address)
        return any(form in network for form in {address, plain} for network in self.networks)


ANYWHERE = Destinations(is_anywhere=True)


def parsed(entries: Iterable[str], *, allows_http: bool = False) -> Destinations:
    """Return the destinations of a list of host names, addresses, networks (CIDR) and ``WORDS``.

    Raises ValueError with the first invalid entry.
    """
    names: set[str] = set()
    networks: list[Network] = []
    for entry in entries:
        for text in WORDS.get(entry, (entry,)):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                if "/" in text or not _NAME.fullmatch(text.casefold()):
                    raise ValueError(entry) from None
                names.add(text.casefold())
    return Destinations(frozenset(names), tuple(networks), allows_http=allows_http)


def is_public(address: IpAddress) -> bool:
    """Return whether the address is on the public internet, not local, private or reserved."""
    plain = _unwrapped(address)
    if isinstance(plain, ipaddress.IPv6Address) and plain.is_site_local:  # fec0::/10, RFC 3879
        return False
    return plain.is_global and not plain.is_multicast and not plain.is_reserved


def is_loopback_name(host: str) -> bool:
    """Return whether the host is localhost or a subdomain of it, which are loopback (RFC 6761)."""
    name = host.rstrip(".").casefold()
    return name == "localhost" or name.endswith(".localhost")


def literal_of(host: str) -> IpAddress | None:
    """Return the IP address that ``host`` is, also in the forms 127.1 and 0x7f000001, or None."""
    bare = host.strip("[]")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare.rstrip(".")))
    except (OSError, UnicodeError):
        return None


def _unwrapped(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that is embedded in an IPv6 address, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
