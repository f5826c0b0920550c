"""What every call carries: who asks, and for which org."""

from __future__ import annotations

import re
from collections.abc import Iterable

from listeners.salesforce.errors import PubSubRefused, Reaction
from listeners.salesforce.tokens import Token

Metadata = tuple[tuple[str, str], ...]

_SHORT = 15  # characters of an id without the three that tell its capitals
_ID = re.compile(r"00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?", re.ASCII)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
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
        return full_id(token.org_id)
    org, mark, _ = token.access_token.partition("!")
    return full_id(org) if mark and _ID.fullmatch(org) else None


def full_id(record_id: str) -> str:
    """An id of 15 characters with the three that say which of its letters are capitals."""
    if len(record_id) != _SHORT:
        return record_id
    return record_id + "".join(_tell(record_id[start : start + 5]) for start in (0, 5, 10))


def _tell(five: Iterable[str]) -> str:
    bits = sum("A" <= letter <= "Z" and 1 << place for place, letter in enumerate(five))
    return _LETTERS[bits]


def _misconfigured(why: str) -> PubSubRefused:
    return PubSubRefused("the call", "metadata", why, Reaction.CONFIGURATION)
