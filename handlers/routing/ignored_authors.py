"""Whose changes a mapping leaves out: by where they were made, and by who made them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from listeners import wildcards
from listeners.values import is_storable_text

#: As many characters of a Salesforce id tell it from all others; three more only check them.
SHORT_ID = 15
_USER_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")


class Written(Protocol):
    change_origin: str
    commit_user: str


def left_out(change: Written, origins: Sequence[str], users: Sequence[str]) -> str:
    """Why a mapping that ignores these origins and users leaves a change out; empty: it does not.

    An entry of `origins` is a client id, or, with a `/` in it, a whole change origin in which `*`
    stands for any text. Clients have a `/` in their id too (`Workbench/`): an entry is that of its
    client in any case.
    """
    writer = _writer(change, origins, users)
    return writer and f"written by {writer}, which this mapping leaves out"


def _writer(change: Written, origins: Sequence[str], users: Sequence[str]) -> str:
    origin = change.change_origin
    if origins and origin:
        client = client_of(origin)
        if client and client in origins:
            return f"client {client}"
        if any("/" in one and wildcards.matches(one, origin) for one in origins):
            return f"origin {origin}"
    user = change.commit_user
    if user and any(user[:SHORT_ID] == one[:SHORT_ID] for one in users):
        return f"user {user}"
    return ""


def client_of(origin: str) -> str:
    """The id that the writer gave in Sforce-Call-Options: `com/…/rest/67.0;client=my-app`."""
    for part in origin.split(";"):
        if part.startswith("client="):
            return part.removeprefix("client=")
    return ""


def origin_flaws(origins: Any) -> list[str]:
    """What is wrong with a list of origins."""
    if not _is_list_of_texts(origins):
        return ['Give a list of client ids or change origins, such as ["my-app"].']
    return [flaw for one in origins if (flaw := _origin_flaw(one))]


def _origin_flaw(origin: str) -> str:
    if flaw := wildcards.flaw(origin):
        return flaw
    if "*" in origin and "/" not in origin:
        return (
            f'"{origin}": a client id is compared as it is; with a wildcard, write the whole '
            f'origin, such as "*/rest/*;client={origin}".'
        )
    return ""


def user_flaws(users: Any) -> list[str]:
    """What is wrong with a list of users."""
    if not _is_list_of_texts(users):
        return ['Give a list of Salesforce user ids, such as ["005000000000001AAA"].']
    return [
        f'"{one}" is no Salesforce id: it has 15 or 18 letters and digits.'
        for one in users
        if not _USER_ID.fullmatch(one)
    ]


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and one.strip() and is_storable_text(one) for one in value
    )
