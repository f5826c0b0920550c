"""Parses the endpoint of the Pub/Sub API: `host:port` over TLS, or an http(s) URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from listeners.salesforce.errors import Reaction, StreamRefused

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str  # an IPv6 address without its brackets
    port: int
    is_plain: bool = False

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'http' if self.is_plain else 'https'}://{self.address}"


def endpoint_of(text: str) -> Endpoint:
    """Return the endpoint. Raises ``StreamRefused`` with CONFIGURATION if it is not valid."""
    written = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in _PORTS or parts.path.strip("/") or "@" in parts.netloc:
        why = "the endpoint is not host:port, http://host:port or https://host:port"
        raise StreamRefused("connecting", why, Reaction.CONFIGURATION, code="endpoint")
    return Endpoint(host, port or _PORTS[parts.scheme], parts.scheme == "http")
