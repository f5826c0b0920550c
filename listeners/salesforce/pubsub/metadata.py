"""The metadata of every call: access token, instance and org."""

from __future__ import annotations

import re

from listeners.salesforce.errors import Reaction, StreamRefused
from listeners.salesforce.rest.records import long_id
from listeners.salesforce.tokens.tokens import Token

Metadata = tuple[tuple[str, str], ...]

_ID = re.compile(r"00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?", re.ASCII)
_SENDABLE = re.compile(r"[\x20-\x7e]+", re.ASCII)


def metadata_of(token: Token) -> Metadata:
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
