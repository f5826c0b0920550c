"""Configured proxies and TLS files override the environment's; the token goes only to its own
instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from listeners.salesforce.http.session import ClientFileMissing, HttpConfig, Proxy, Tls, session_of
from listeners.salesforce.rest.simple_salesforce import TokenSession
from listeners.salesforce.tokens.tokens import Token
from tests.listeners.salesforce.scripted import ScriptedOrg

PATH = "/services/data/v67.0/limits/"
URL = "https://example.my.salesforce.com/"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "example.my.salesforce.com")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/environment.pem")


def merged(config: HttpConfig) -> dict[str, Any]:
    settings: dict[str, Any] = session_of(config).merge_environment_settings(
        URL, {}, stream=None, verify=None, cert=None
    )
    return settings


@pytest.mark.usefixtures("environment")
def test_a_configured_proxy_outranks_the_environments() -> None:
    found = merged(HttpConfig(Proxy("mine", 3128)))

    assert found["proxies"] == {"http": "http://mine:3128", "https": "http://mine:3128"}
    assert found["verify"] == "/environment.pem"


@pytest.mark.usefixtures("environment")
def test_with_tls_alone_the_environment_still_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    bundle = tmp_path / "ca.pem"
    bundle.touch()

    found = merged(HttpConfig(tls=Tls(ca_bundle=str(bundle))))

    assert found["proxies"]["https"] == "http://environment:1"
    assert found["verify"] == str(bundle)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ClientFileMissing, match=r"/no/such\.pem in client_config\.tls cannot be"):
        session_of(HttpConfig(tls=Tls(ca_bundle="/no/such.pem")))


class Fixed:
    """Gives token 1 until it is refused, then token 2."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._number = 1

    def get(self) -> Token:
        return Token(f"token-{self._number}", self._url)

    def invalidate(self, token: Token) -> None:
        self._number += 1


def token_session(org: ScriptedOrg) -> TokenSession:
    session = TokenSession(Fixed(org.url))
    session_of(HttpConfig(), session)
    return session


def test_the_bulk_api_gets_the_token_in_its_own_header(org: ScriptedOrg) -> None:
    headers = {"X-SFDC-Session": "what simple-salesforce was given"}
    org.tell(PATH, {})

    token_session(org).request("GET", f"{org.url}{PATH}", headers=headers)

    assert org.calls[0].headers["X-SFDC-Session"] == "token-1"


def test_the_token_goes_to_its_instance_and_nowhere_else(org: ScriptedOrg) -> None:
    with ScriptedOrg() as other:
        session = token_session(org)
        org.tell(PATH, {})
        other.tell(PATH, {})

        session.request("GET", f"{other.url}{PATH}")
        session.request("GET", f"{org.url}{PATH}")

        assert "Authorization" not in other.calls[0].headers
        assert org.calls[0].headers["Authorization"] == "Bearer token-1"
