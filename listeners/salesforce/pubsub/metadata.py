"""What every call carries: who asks, and for which org."""

from __future__ import annotations

import re

from listeners.salesforce.errors import PubSubRefused, Reaction
from listeners.salesforce.rest.records import long_id
from listeners.salesforce.tokens.tokens import Token

Metadata = tuple[tuple[str, str], ...]

_ID = re.compile(r"00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?", re.ASCII)
_SENDABLE = re.compile(r"[\x20-\x7e]+", re.ASCII)


def metadata_of(token: Token) -> Metadata:
    """Raises ``PubSubRefused`` with CONFIGURATION where it cannot be told."""
    tenant = tenant_of(token)
    if tenant is None:
        raise _misconfigured("the login does not tell the org's id, which each call must name")
    if not _SENDABLE.fullmatch(token.access_token):
        raise _misconfigured("the access token holds characters that no metadata can")
    if not _SENDABLE.fullmatch(token.instance_url):
        raise _misconfigured("the instance URL holds characters that no metadata can")
    return (
        ("accesstoken", token.access_token),
        ("instanceurl", token.instance_url),
        ("tenantid", tenant),
    )


def tenant_of(token: Token) -> str | None:
    """The org's id, 18 characters: as the login told it, else from the access token's beginning,
    ``00D…!``."""
    if token.org_id:
        return long_id(token.org_id)
    org, mark, _ = token.access_token.partition("!")
    return long_id(org) if mark and _ID.fullmatch(org) else None


def _misconfigured(why: str) -> PubSubRefused:
    return PubSubRefused("the call", "metadata", why, Reaction.CONFIGURATION)
