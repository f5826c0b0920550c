"""The ways to log in, by the name a connection's ``auth`` gives them.

To add one, copy a slice: a frozen dataclass with ``login`` and ``rotated``, secrets out of its
``repr``, and a line here.
"""

from __future__ import annotations

from listeners.salesforce.auth.client_credentials import ClientCredentials
from listeners.salesforce.auth.password import Password
from listeners.salesforce.auth.refresh_token import RefreshToken

__all__ = ["GRANTS", "ClientCredentials", "Password", "RefreshToken"]

GRANTS: dict[str, type[ClientCredentials] | type[Password] | type[RefreshToken]] = {
    "client_credentials": ClientCredentials,
    "password": Password,
    "refresh_token": RefreshToken,
}
