"""Rules by which a mapping ignores changes of certain clients, origins and users. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from listeners import wildcards
from listeners.values import is_storable_text

if TYPE_CHECKING:
    from audit.models import AuditLogEntry

#: The first 15 characters identify a Salesforce record; the three after them are a checksum.
SHORT_ID = 15
_USER_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")


def left_out(change: AuditLogEntry, origins: Sequence[str], users: Sequence[str]) -> str:
    """Return why a mapping that ignores these origins and users leaves a change out, or "".

    An entry of `origins` is a client id, or a whole change origin in which `*` stands for any text.
    A whole origin contains a `/`. A client id may contain one too (`Workbench/`), so every entry is
    also compared with the client id.
    """
    writer = _writer(change, origins, users)
    return writer and f"written by {writer}, which this mapping leaves out"


def _writer(change: AuditLogEntry, origins: Sequence[str], users: Sequence[str]) -> str:
    origin = change.change_origin
    if origins and origin:
        client = client_of(origin)
        if client and client in origins:
            return f"client {client}"
        if any("/" in entry and wildcards.matches(entry, origin) for entry in origins):
            return f"origin {origin}"
    user = change.commit_user
    if user and any(user[:SHORT_ID] == ignored[:SHORT_ID] for ignored in users):
        return f"user {user}"
    return ""


def client_of(origin: str) -> str:
    """Return the client id that the writer set in Sforce-Call-Options, or "".

    Example of an origin: `com/…/rest/67.0;client=my-app`.
    """
    for part in origin.split(";"):
        if part.startswith("client="):
            return part.removeprefix("client=")
    return ""


def origin_flaws(origins: Any) -> list[str]:
    """Return the errors in a list of origins."""
    if not _is_list_of_texts(origins):
        return ['Give a list of client ids or change origins, such as ["my-app"].']
    return [flaw for origin in origins if (flaw := _origin_flaw(origin))]


def _origin_flaw(origin: str) -> str:
    if flaw := wildcards.flaw(origin):
        return flaw
    if "*" in origin and "/" not in origin:
        return (
            f'"{origin}": a client id is compared literally; to use a wildcard, write the whole '
            f'origin, such as "*/rest/*;client={origin}".'
        )
    return ""


def user_flaws(users: Any) -> list[str]:
    """Return the errors in a list of users."""
    if not _is_list_of_texts(users):
        return ['Give a list of Salesforce user ids, such as ["005000000000001AAA"].']
    return [
        f'"{user}" is no Salesforce id: it has 15 or 18 letters and digits.'
        for user in users
        if not _USER_ID.fullmatch(user)
    ]


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) and item.strip() and is_storable_text(item) for item in value
    )
