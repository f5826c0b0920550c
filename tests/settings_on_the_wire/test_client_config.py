"""Login requests are sent as `client_config` says; its TLS settings have tests of their own."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listeners.connections.token_sources import token_source
from listeners.models.connection_rules import problems, warnings
from listeners.salesforce.errors import LoginUnavailable
from tests.kinds_of_login import KINDS_WITH_A_LOGIN, OAUTH_KINDS
from tests.listeners.salesforce.hostile import MIB, packed
from tests.listeners.salesforce.scripted import ScriptedOrg
from tests.settings_on_the_wire.http2_server import INSTANCE, Http2Server
from tests.settings_on_the_wire.orgs import TOKEN_PATH, only_login
from tests.settings_on_the_wire.stored import failure, failures, stored
from tests.settings_on_the_wire.test_logins import form_at
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def http2(authority: Authority) -> Iterator[Http2Server]:
    with Http2Server(authority.issue("server")) as running:
        yield running


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a host that accepts no connection, because its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            yield f"http://127.0.0.1:{address[1]}"


# HTTP versions
@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_login_speaks_the_http_version_that_is_set(
    org: SimulatorProcess, auth: str, version: str
) -> None:
    connection = stored(org, auth, client_config={"http_version": version})

    assert failures(connection) == []

    request = only_login(org)
    assert request["http_version"] == version
    assert request["headers"]["Host"] == org.url.removeprefix("http://")
    assert {seen["http_version"] for seen in org.api_requests()} == {"1.1"}


def test_the_login_speaks_http_1_1_when_none_is_set(org: SimulatorProcess) -> None:
    token_source(stored(org)).get()

    assert only_login(org)["http_version"] == "1.1"


@pytest.mark.parametrize("version", [2, "2", "2.0"])
def test_the_login_speaks_http_2(http2: Http2Server, authority: Authority, version: Any) -> None:
    config = {
        "http_version": version,
        "custom_headers": {"X-Tenant": "north"},
        "custom_payload": "hint=me",
        "tls": {"ca_bundle": str(authority.cert)},
    }

    token = token_source(stored(http2, client_config=config)).get()

    [asked] = http2.asked
    assert asked.headers[":method"] == "POST"
    assert asked.headers[":path"] == TOKEN_PATH
    assert asked.headers[":authority"] == http2.url.removeprefix("https://")
    assert asked.headers["x-tenant"] == "north"
    assert b"grant_type=client_credentials" in asked.body
    assert asked.body.endswith(b"&hint=me")
    assert (token.access_token, token.instance_url) == ("over-http-2", INSTANCE)


def test_an_answer_over_http_2_is_packed_or_not(http2: Http2Server, authority: Authority) -> None:
    http2.body, http2.encoding = gzip.compress(http2.body), "gzip"
    config = {"http_version": "2", "tls": {"ca_bundle": str(authority.cert)}}

    assert token_source(stored(http2, client_config=config)).get().access_token == "over-http-2"


def test_an_answer_over_http_2_is_bounded(http2: Http2Server, authority: Authority) -> None:
    http2.body, http2.encoding = packed(b"[],", 40 * MIB), "gzip"
    config = {"http_version": "2", "tls": {"ca_bundle": str(authority.cert)}}

    tracemalloc.start()
    try:
        reason = failure(stored(http2, client_config=config))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    host = http2.url.removeprefix("https://")
    assert f"{host} answered HTTP 200 with more than 256 KiB, the limit for a login" in reason
    assert peak < 20 * MIB


def test_a_host_without_http_2_is_a_reason(org: SimulatorProcess) -> None:
    reason = failure(stored(org, client_config={"http_version": "2"}))

    assert reason.startswith("login not possible now: ")
    assert org.token_requests() == []


# Headers and payload


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_custom_headers_go_with_the_login_and_with_nothing_else(
    org: SimulatorProcess, auth: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEY_OF_THE_GATEWAY", "from the environment")
    (tmp_path / "cookie").write_text("from=file\n")
    headers = {
        "X-Tenant": "north",
        "X-Api-Key": "env:KEY_OF_THE_GATEWAY",
        "Cookie": f"file:{tmp_path}/cookie",
    }

    assert failures(stored(org, auth, client_config={"custom_headers": headers})) == []

    seen = only_login(org)["headers"]
    assert seen["X-Tenant"] == "north"
    assert seen["X-Api-Key"] == "from the environment"
    assert seen["Cookie"] == "from=file"
    assert not any("X-Tenant" in seen["headers"] for seen in org.api_requests())


@pytest.mark.parametrize("auth", OAUTH_KINDS)
def test_the_custom_payload_is_part_of_the_form(
    org: SimulatorProcess, auth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_GATEWAY", "from & the environment")
    payload = "hint=me%26you&empty=&gateway_key=env:KEY_OF_THE_GATEWAY"

    assert failures(stored(org, auth, client_config={"custom_payload": payload})) == []

    form = only_login(org)["form"]
    assert form["hint"] == "me&you"
    assert form["empty"] == ""
    assert form["gateway_key"] == "from & the environment"


def test_nothing_is_added_when_nothing_is_set(scripted: ScriptedOrg) -> None:
    token_source(stored(scripted)).get()

    assert set(form_at(scripted)) == {"grant_type", "client_id", "client_secret"}


def test_a_soap_login_which_has_no_form_says_so_when_a_payload_is_set(
    org: SimulatorProcess,
) -> None:
    connection = stored(org, "soap")
    connection.client_config = {"custom_payload": "hint=me"}

    told = [*problems(connection).items(), *warnings(connection)]

    assert any("custom_payload" in text for _, text in told)


# Time-outs
@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_a_host_that_takes_no_connection_is_given_up_after_the_connection_timeout(
    deaf: str, scripted: ScriptedOrg, version: str
) -> None:
    config = {"connection_timeout": 0.3, "read_timeout": 20, "http_version": version}
    connection = stored(scripted, token_url=f"{deaf}{TOKEN_PATH}", client_config=config)

    with pytest.raises(
        LoginUnavailable, match=r"did not accept a connection within 0\.3 s"
    ) as failed:
        token_source(connection).get()

    assert not failed.value.may_have_worked


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_an_unanswered_tls_handshake_ends_after_the_connection_timeout(
    scripted: ScriptedOrg, version: str
) -> None:
    config = {"connection_timeout": 0.3, "read_timeout": 20, "http_version": version}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        token_url = f"https://127.0.0.1:{silent.getsockname()[1]}{TOKEN_PATH}"
        connection = stored(scripted, token_url=token_url, client_config=config)

        with pytest.raises(
            LoginUnavailable, match=r"did not accept a connection within 0\.3 s"
        ) as failed:
            token_source(connection).get()

    assert not failed.value.may_have_worked


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_a_host_that_does_not_answer_is_given_up_after_the_read_timeout(
    org: SimulatorProcess, auth: str
) -> None:
    org.fault("stall", target="token", seconds=60)
    config = {"connection_timeout": 20, "read_timeout": 3}

    with pytest.raises(LoginUnavailable, match="sent nothing for 3 s"):
        token_source(stored(org, auth, client_config=config)).get()


def test_a_silent_host_is_given_up_over_http_2_too(authority: Authority) -> None:
    tls = {"ca_bundle": str(authority.cert)}
    config = {"read_timeout": 3, "http_version": "2", "tls": tls}
    with (
        Http2Server(authority.issue("server"), is_silent=True) as silent,
        pytest.raises(LoginUnavailable, match="sent nothing for 3 s") as failed,
    ):
        token_source(stored(silent, client_config=config)).get()

    assert failed.value.may_have_worked
    assert len(silent.asked) == 1


def test_a_slow_login_is_waited_for_within_the_read_timeout(org: SimulatorProcess) -> None:
    org.fault("stall", target="token", seconds=0.5)
    config = {"connection_timeout": 0.3, "read_timeout": 20}

    assert token_source(stored(org, client_config=config)).get().instance_url == org.url
