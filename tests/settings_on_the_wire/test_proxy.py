"""With `proxy_…` set, requests of every kind go through that proxy and no other way."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from listeners.connections.handler_clients import client_for
from listeners.connections.token_sources import token_source
from listeners.models import Connection
from listeners.salesforce.errors import LoginRefused, SalesforceError, StreamClosed
from tests.kinds_of_login import KINDS_WITH_A_LOGIN
from tests.servers import wait_for
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.settings_on_the_wire.http2_server import Http2Server
from tests.settings_on_the_wire.orgs import (
    TOKEN_PATH,
    VERSIONS_PATH,
    grant_types,
    issue_token,
    paths,
    peers,
)
from tests.settings_on_the_wire.secure import SecureOrg
from tests.settings_on_the_wire.stored import (
    failure,
    failures,
    listening,
    poll_until,
    polling,
    stored,
    stream_of,
)
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess

LIMITS_PATH = "/services/data/v67.0/limits/"
LOGIN = "me@corp:pa:ss @/%"


def by(proxy: CountingProxy, **more: Any) -> dict[str, Any]:
    """Return the connection fields of the proxy."""
    return {"proxy_host": proxy.host, "proxy_port": proxy.port, **more}


def logged_in(proxy: CountingProxy, password: str = "") -> dict[str, Any]:
    username, _, right = LOGIN.partition(":")
    return by(proxy, proxy_username=username, proxy_password=password or right)


def live_a_while(org: SimulatorProcess, connection: Connection) -> None:
    """Send requests of every kind: login, handshake, polls, a silence check, a renewal, a handler's
    REST request, a disconnect."""
    listener = listening(connection, keep_alive_interval=0.2)
    with stream_of(listener) as stream:
        stream.open("-1")
        org.fault("stall", channel="/meta/connect", seconds=0.6)
        poll_until(stream, lambda: VERSIONS_PATH in paths(org) and len(grant_types(org)) > 1)
        client_for(listener).limits()
        assert stream.is_open
    assert {VERSIONS_PATH, LIMITS_PATH} <= set(paths(org))
    assert len(grant_types(org)) > 1
    assert wait_for(lambda: org.state()["sessions"] == [])  # the goodbye has arrived


def speaking(server: Authority) -> ssl.SSLContext:
    """Return the TLS context of a proxy with its own certificate."""
    pair = server.issue("proxy")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A proxy that the environment's variables name, with NO_PROXY for all hosts."""
    with CountingProxy() as running:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, running.url)
        yield running


# Through it


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_a_login_of_each_kind_and_all_that_follows_goes_through_it(
    org: SimulatorProcess, proxy: CountingProxy, auth: str
) -> None:
    assert failures(stored(org, auth, **by(proxy))) == []

    assert peers(org) <= proxy.outgoing
    assert len(proxy.passed) == len(org.token_requests()) + len(org.api_requests())
    assert proxy.hosts == {org.url.removeprefix("http://")}


def test_what_is_done_with_a_bearer_token_goes_through_it(
    org: SimulatorProcess, proxy: CountingProxy
) -> None:
    token = issue_token(org)

    assert failures(stored(org, "bearer_token", token=token, **by(proxy))) == []

    assert peers(org) <= proxy.outgoing
    assert len(proxy.passed) == len(org.api_requests()) > 0


def test_nothing_goes_through_it_when_none_is_set(
    org: SimulatorProcess, proxy: CountingProxy
) -> None:
    assert failures(stored(org)) == []

    assert proxy.passed == []
    assert peers(org)


def test_polls_refreshes_silence_checks_and_the_goodbye_go_through_it(
    org: SimulatorProcess, proxy: CountingProxy
) -> None:
    short: dict[str, Any] = {"refresh_config": {}, "default_token_exp_time": 0.5}

    live_a_while(org, stored(org, "password", **short, **by(proxy)))

    assert grant_types(org)[:2] == ["password", "refresh_token"]
    assert peers(org) <= proxy.outgoing
    assert {passed.method for passed in proxy.passed} == {"GET", "POST"}


def test_requests_over_https_go_through_it_by_connect(
    secure: SecureOrg, proxy: CountingProxy
) -> None:
    short: dict[str, Any] = {"client_config": {"tls": secure.tls}, "default_token_exp_time": 0.5}

    live_a_while(secure.org, stored(secure, **short, **by(proxy)))

    assert peers(secure.org) <= proxy.outgoing
    assert {passed.method for passed in proxy.passed} == {"CONNECT"}
    assert proxy.hosts == {secure.url.removeprefix("https://")}


def test_a_listener_in_its_process_goes_through_it(
    org: SimulatorProcess, proxy: CountingProxy, other: CountingProxy, processes: Any
) -> None:
    listening(stored(org, **by(proxy)), keep_alive_interval=0.2)
    process = processes.listener(NO_PROXY="*")
    process.wait_for_output("subscribed")
    org.fault("stall", channel="/meta/connect", seconds=0.6)
    wait_for(lambda: VERSIONS_PATH in paths(org))

    assert process.terminate() == 0, process.output

    assert peers(org) <= proxy.outgoing
    assert other.passed == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_login_in_each_http_version_goes_through_it(
    org: SimulatorProcess, secure: SecureOrg, proxy: CountingProxy, version: str, scheme: str
) -> None:
    target = secure if scheme == "https" else org
    tls = secure.tls if scheme == "https" else {}
    config = {"http_version": version, "tls": tls}

    token_source(stored(target, client_config=config, **by(proxy))).get()

    simulator = secure.org if scheme == "https" else org
    [request] = simulator.token_requests()
    assert (request["http_version"], request["peer"] in proxy.outgoing) == (version, True)


def test_a_login_over_http_2_goes_through_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    config = {"http_version": "2", "tls": {"ca_bundle": str(authority.cert)}}
    with Http2Server(authority.issue("server")) as server, CountingProxy(login=LOGIN) as proxy:
        connection = stored(server, client_config=config, **logged_in(proxy))

        token_source(connection).get()

    assert len(server.asked) == 1
    assert [passed.host for passed in proxy.passed] == [server.url.removeprefix("https://")]


# How it is spoken to
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_it_can_be_spoken_to_over_https(
    org: SimulatorProcess, tmp_path: Path, scheme: str, version: str
) -> None:
    authority = Authority(tmp_path)
    tls = {"ca_bundle": str(authority.cert)}
    with (
        Http2Server(authority.issue("server")) as server,
        CountingProxy(tls=speaking(authority)) as proxy,
    ):
        target = server if version == "2" else org
        fields = by(proxy, proxy_host="localhost", proxy_scheme=scheme)
        config = {"tls": tls, "http_version": version}
        source = token_source(stored(target, client_config=config, **fields))

        if scheme == "https":
            source.get()
        else:  # plain text is not what it speaks
            with pytest.raises(SalesforceError):
                source.get()

    assert bool(proxy.passed) == bool(proxy.outgoing) == (scheme == "https")


def test_an_https_org_is_reached_through_an_https_proxy(secure: SecureOrg) -> None:
    with CountingProxy(tls=speaking(secure.authority), login=LOGIN) as proxy:
        way = {**logged_in(proxy), "proxy_scheme": "https", "proxy_host": "localhost"}
        short: dict[str, Any] = {
            "client_config": {"tls": secure.tls},
            "default_token_exp_time": 0.5,
        }

        live_a_while(secure.org, stored(secure, **short, **way))

    assert peers(secure.org) <= proxy.outgoing


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_poll_through_it_ends_when_the_listener_is_stopped(
    secure: SecureOrg, scheme: str
) -> None:
    tls = speaking(secure.authority) if scheme == "https" else None
    with CountingProxy(tls=tls) as proxy:
        way = by(proxy, proxy_scheme=scheme, proxy_host="localhost")
        connection = stored(secure, client_config={"tls": secure.tls}, **way)
        with stream_of(listening(connection)) as stream:
            stream.open("-1")
            secure.org.fault("stall", channel="/meta/connect", seconds=60)
            with polling(stream) as results:
                # The poll has been held, and its answer now waits for the stall.
                wait_for(lambda: not secure.org.state()["faults"])

    assert [type(result) for result in results] == [StreamClosed]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_its_address_may_be_one_of_ipv6(org: SimulatorProcess, host: str) -> None:
    with CountingProxy(host="::1") as proxy:
        assert failures(stored(org, **by(proxy, proxy_host=host))) == []

    assert peers(org) <= proxy.outgoing


# Credentials


def test_its_user_name_and_password_arrive_there_and_nowhere_else(
    org: SimulatorProcess, secure: SecureOrg
) -> None:
    with CountingProxy(login=LOGIN) as proxy:
        assert failures(stored(org, **logged_in(proxy))) == []
        config = {"tls": secure.tls}
        assert failures(stored(secure, client_config=config, **logged_in(proxy))) == []

    assert {passed.credentials for passed in proxy.passed} == {LOGIN}
    seen = [*secure.org.token_requests(), *secure.org.api_requests()]
    assert not any("Proxy-Authorization" in request["headers"] for request in seen)


def test_a_wrong_password_says_so_before_a_login_over_http(org: SimulatorProcess) -> None:
    with CountingProxy(login=LOGIN) as proxy:
        reason = failure(stored(org, **logged_in(proxy, "wrong")))

    assert "HTTP 407" in reason
    assert "Check the proxy's user name and password" in reason
    assert len(proxy.passed) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_a_wrong_password_says_so_before_a_login_over_https(
    secure: SecureOrg, version: str
) -> None:
    config = {"tls": secure.tls, "http_version": version}
    with CountingProxy(login=LOGIN) as proxy:
        connection = stored(secure, client_config=config, **logged_in(proxy, "wrong"))

        reason = failure(connection)

    assert "Check the proxy's user name and password" in reason
    assert "wrong" not in reason
    assert len(proxy.passed) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_wrong_password_says_so_before_a_stream(
    org: SimulatorProcess, secure: SecureOrg, scheme: str
) -> None:
    target, simulator = (secure, secure.org) if scheme == "https" else (org, org)
    config = {"tls": secure.tls}
    token = issue_token(simulator)
    with CountingProxy(login=LOGIN) as proxy:
        way = logged_in(proxy, "wrong")
        connection = stored(target, "bearer_token", token=token, client_config=config, **way)

        with stream_of(listening(connection)) as stream, pytest.raises(SalesforceError) as failed:
            stream.open("-1")

    assert "407" in str(failed.value)
    assert "proxy" in str(failed.value)


def test_a_missing_password_says_so(org: SimulatorProcess) -> None:
    with CountingProxy(login=LOGIN) as proxy, pytest.raises(LoginRefused, match="HTTP 407"):
        token_source(stored(org, **by(proxy))).get()


# The environment


@pytest.mark.parametrize("exceptions", ["", "*", "127.0.0.1,localhost"])
def test_the_environment_does_not_outrank_it(
    org: SimulatorProcess,
    proxy: CountingProxy,
    other: CountingProxy,
    exceptions: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", exceptions)
    monkeypatch.setenv("no_proxy", exceptions)
    short: dict[str, Any] = {"refresh_config": {}, "default_token_exp_time": 0.5}

    live_a_while(org, stored(org, "password", **short, **by(proxy)))

    assert peers(org) <= proxy.outgoing
    assert other.passed == []


def test_the_environment_does_not_outrank_it_over_http_2(
    other: CountingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    authority = Authority(tmp_path)
    config = {"http_version": "2", "tls": {"ca_bundle": str(authority.cert)}}
    with Http2Server(authority.issue("server")) as server, CountingProxy() as proxy:
        token_source(stored(server, client_config=config, **by(proxy))).get()

    assert len(proxy.passed) == 1
    assert other.passed == []


def test_a_proxy_of_the_environment_serves_where_none_is_set(
    org: SimulatorProcess, other: CountingProxy
) -> None:
    assert failures(stored(org)) == []

    assert peers(org) <= other.outgoing


def test_a_proxy_that_is_not_there_is_a_reason(org: SimulatorProcess, other: CountingProxy) -> None:
    nowhere: dict[str, Any] = {"proxy_host": "127.0.0.1", "proxy_port": 1}

    reason = failure(stored(org, token_url=f"{org.url}{TOKEN_PATH}", **nowhere))

    assert reason.startswith("login not possible now: ")
    assert other.passed == []
    assert org.token_requests() == []
