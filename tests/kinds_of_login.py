"""The kinds of login that tests go through, one for each choice of `Connection.Auth`."""

from __future__ import annotations

from collections.abc import Iterable

from listeners.models import Connection
from listeners.models.connection_rules import KINDS

Auth = Connection.Auth
#: A bearer token is entered, not requested.
KINDS_WITH_A_LOGIN = [kind.value for kind in Auth if kind != Auth.BEARER_TOKEN]
OAUTH_KINDS = [auth for auth in KINDS_WITH_A_LOGIN if KINDS[auth].is_oauth]


def kinds_of(names: Iterable[str]) -> set[str]:
    """Return the kinds of login in names such as `password without app`."""
    return {name.partition(" ")[0] for name in names}
