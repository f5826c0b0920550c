"""The orgs of these tests, and readers of their logs."""

from __future__ import annotations

from typing import Any, Protocol

from tests.simulator.process import SimulatorProcess

TOKEN_PATH = "/services/oauth2/token"
VERSIONS_PATH = "/services/data/"


#: Credentials for an org that accepts any.
ANY_CREDENTIALS = {
    "client_id": "the-client",
    "client_secret": "hush",
    "username": "me@example.com",
    "password": "hush hush",
    "refresh_token": "5Aep861",
}


class Org(Protocol):
    """An org for which a connection is made; it may have `credentials`."""

    @property
    def url(self) -> str: ...


def credentials_of(org: Org) -> dict[str, str]:
    told: dict[str, str] = getattr(org, "credentials", {})
    return ANY_CREDENTIALS | told


def issue_token(org: SimulatorProcess) -> str:
    """Return an access token that another client requested."""
    form = {name: org.credentials[name] for name in ("client_id", "client_secret")}
    answer = org.http.post(
        f"{org.url}{TOKEN_PATH}", data={"grant_type": "client_credentials", **form}, timeout=10
    )
    answer.raise_for_status()
    org.forget_requests()
    token: str = answer.json()["access_token"]
    return token


def grant_types(org: SimulatorProcess) -> list[str]:
    return [request["grant_type"] for request in org.token_requests()]


def only_login(org: SimulatorProcess) -> dict[str, Any]:
    """Return the only token request."""
    [request] = org.token_requests()
    return request


def paths(org: SimulatorProcess) -> list[str]:
    return [request["path"] for request in org.api_requests()]


def bearers(org: SimulatorProcess) -> list[str]:
    """Return the access tokens that were used, in the order of their first use."""
    seen = [request["authorization"].removeprefix("Bearer ") for request in org.api_requests()]
    return list(dict.fromkeys(token for token in seen if token))


def peers(org: SimulatorProcess) -> set[str]:
    """Return the addresses from which requests of every kind came."""
    return {request["peer"] for request in (*org.token_requests(), *org.api_requests())}
