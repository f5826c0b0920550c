"""Where requests may go: over https to the public internet, and to what is listed besides.

A name is judged when it is resolved, and what is connected to is the very address that was judged:
another answer a moment later (DNS rebinding) changes nothing.
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

#: What one word of a list stands for.
WORDS = {
    "loopback": ("127.0.0.0/8", "::1/128", "localhost", "*.localhost"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
}
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last four bytes
_SETTING = "CDC_OUTBOUND_ALLOWED"
_INSIDE = f"is not a public address; correct it, or have {_SETTING} name the host"
_PLAIN = f"takes https: plain http is for hosts that {_SETTING} names"


@dataclass(frozen=True, slots=True)
class Destinations:
    """``names`` are hosts, or ``*.example.com`` for all below it: trusted wherever they lead. What
    is listed may be spoken to in plain http; all else takes https, unless ``allows_http``."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    allows_http: bool = False
    is_anywhere: bool = False

    # Queries

    def flaw(self, url: str) -> str:
        """Why ``url`` may not be asked, as far as its text says; empty when it may."""
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
        """The same of a host alone, such as a proxy's."""
        return self.flaw(f"https://{f'[{host}]' if ':' in host and host[0] != '[' else host}")

    def trusts(self, host: str) -> bool:
        """Whether it is listed by its name, or everything is allowed."""
        name = host.rstrip(".").casefold()
        above = name.split(".")
        return (
            self.is_anywhere
            or name in self.names
            or any(f"*.{'.'.join(above[n:])}" in self.names for n in range(1, len(above)))
        )

    def check(self, url: str) -> None:
        """Raises ``DestinationRefused``."""
        if flaw := self.flaw(url):
            raise DestinationRefused(flaw)

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses to connect to, best first. Asks DNS, and waits for it.

        Raises ``DestinationRefused`` when none of them is allowed, and ``socket.gaierror``.
        """
        bare = host.strip("[]")
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if self.trusts(bare):
            return addresses
        allowed = [one for one in addresses if self._takes(ipaddress.ip_address(one))]
        if not allowed:
            # A name may lead elsewhere in a while: it is asked again.
            raise DestinationRefused(f"{bare} leads to what {_INSIDE}.", Reaction.BACK_OFF_LONG)
        return allowed

    # Inside

    def _takes(self, address: IpAddress) -> bool:
        return self._lists(address) or is_public(address)

    def _lists(self, address: IpAddress) -> bool:
        plain = _unwrapped(address)
        return any(one in network for one in {address, plain} for network in self.networks)


ANYWHERE = Destinations(is_anywhere=True)


def parsed(entries: Iterable[str], *, allows_http: bool = False) -> Destinations:
    """Of a list of host names, addresses, networks (CIDR) and ``WORDS``.

    Raises ValueError with the entry that is none of them.
    """
    names: set[str] = set()
    networks: list[Network] = []
    for entry in entries:
        for one in WORDS.get(entry, (entry,)):
            try:
                networks.append(ipaddress.ip_network(one))
            except ValueError:
                if "/" in one or not _NAME.fullmatch(one.casefold()):
                    raise ValueError(entry) from None
                names.add(one.casefold())
    return Destinations(frozenset(names), tuple(networks), allows_http=allows_http)


def is_public(address: IpAddress) -> bool:
    """Whether it is somewhere on the internet, and not here, on this network, or nowhere."""
    plain = _unwrapped(address)
    if isinstance(plain, ipaddress.IPv6Address) and plain.is_site_local:  # fec0::/10, RFC 3879
        return False
    return plain.is_global and not plain.is_multicast and not plain.is_reserved


def is_loopback_name(host: str) -> bool:
    """RFC 6761: these are resolved to this machine."""
    name = host.rstrip(".").casefold()
    return name == "localhost" or name.endswith(".localhost")


def literal_of(host: str) -> IpAddress | None:
    """The address that ``host`` is, in whatever way a resolver reads one (127.1, 0x7f000001)."""
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
    """The IPv4 address that one of IPv6 leads to, or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
