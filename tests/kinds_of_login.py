"""The kinds of login that tests go through, one for each choice of `Connection.Auth`."""

from __future__ import annotations

from collections.abc import Iterable

from listeners.models import Connection

Auth = Connection.Auth
#: A bearer token is entered, not requested.
KINDS_WITH_A_LOGIN = [kind.value for kind in Auth if kind != Auth.BEARER_TOKEN]
OAUTH_KINDS = [kind for kind in KINDS_WITH_A_LOGIN if kind != Auth.SOAP]


def kinds_of(names: Iterable[str]) -> set[str]:
    """Return the kinds of login in names such as `password without app`."""
    return {name.partition(" ")[0] for name in names}
