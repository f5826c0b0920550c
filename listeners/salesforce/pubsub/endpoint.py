"""The endpoint of the Pub/Sub API, and the metadata that each call to it carries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from listeners.salesforce.errors import Reaction, StreamRefused
from listeners.salesforce.rest.records import long_id
from listeners.salesforce.tokens.tokens import Token

PORTS = {"http": 80, "https": 443}
_ID = re.compile(r"00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?", re.ASCII)
_SENDABLE = re.compile(r"[\x20-\x7e]+", re.ASCII)


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
    """Return the endpoint of host:port (over TLS), http://host:port or https://host:port.

    Raises ``StreamRefused`` with CONFIGURATION if it is not valid.
    """
    written = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in PORTS or parts.path.strip("/") or "@" in parts.netloc:
        why = "the endpoint is not host:port, http://host:port or https://host:port"
        raise StreamRefused("connecting", why, Reaction.CONFIGURATION, code="endpoint")
    return Endpoint(host, port or PORTS[parts.scheme], parts.scheme == "http")


def metadata_of(token: Token) -> tuple[tuple[str, str], ...]:
    """Return the metadata. Raises ``StreamRefused`` with CONFIGURATION if a value is missing."""
    tenant = tenant_of(token)
    if tenant is None:
        raise _misconfigured("the login did not return the org's ID, which each call requires")
    if not _SENDABLE.fullmatch(token.access_token):
        raise _misconfigured("the access token has characters that metadata cannot contain")
    if not _SENDABLE.fullmatch(token.instance_url):
        raise _misconfigured("the instance URL has characters that metadata cannot contain")
    return (
        ("accesstoken", token.access_token),
        ("instanceurl", token.instance_url),
        ("tenantid", tenant),
    )


def tenant_of(token: Token) -> str | None:
    """Return the org's id of 18 characters, from the login or the token, ``00D…!``."""
    if token.org_id:
        return long_id(token.org_id)
    org, mark, _ = token.access_token.partition("!")
    return long_id(org) if mark and _ID.fullmatch(org) else None


def _misconfigured(why: str) -> StreamRefused:
    return StreamRefused("the call", why, Reaction.CONFIGURATION, code="metadata")
