"""`client_config.tls` sets the trusted authorities and the client certificate of requests of every
kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import InsecureRequestWarning

from listeners.connections.handler_clients import client_for
from listeners.connections.token_sources import token_source
from listeners.salesforce.errors import LoginUnavailable
from tests.kinds_of_login import KINDS_WITH_A_LOGIN
from tests.servers import wait_for
from tests.settings_on_the_wire.http2_server import Http2Server
from tests.settings_on_the_wire.orgs import VERSIONS_PATH, grant_types, issue_token, paths
from tests.settings_on_the_wire.secure import SecureOrg
from tests.settings_on_the_wire.stored import (
    failure,
    failures,
    listening,
    poll_until,
    stored,
    stream_of,
)
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def unasking(authority: Authority) -> Iterator[SimulatorProcess]:
    """An org over HTTPS that demands no client certificate."""
    server = authority.issue("server")
    options = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    with SimulatorProcess(*options, ca=authority.cert) as running:
        yield running


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


# Whom it trusts


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_a_host_of_the_ca_bundle_is_trusted_by_requests_of_every_kind(
    secure: SecureOrg, auth: str
) -> None:
    assert failures(stored(secure, auth, client_config={"tls": secure.tls})) == []

    assert len(secure.org.token_requests()) == 1
    assert {VERSIONS_PATH, "/cometd/67.0"} <= set(paths(secure.org))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_host_of_an_unknown_authority_is_refused(
    unasking: SimulatorProcess, stranger: Authority, version: str
) -> None:
    for tls in ({}, {"ca_bundle": str(stranger.cert)}):
        config = {"http_version": version, "tls": tls}
        with pytest.raises(LoginUnavailable, match="no trusted TLS connection to localhost"):
            token_source(stored(unasking, client_config=config)).get()

    assert unasking.token_requests() == []


def test_a_ca_bundle_outranks_that_of_the_environment(
    unasking: SimulatorProcess,
    authority: Authority,
    stranger: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger.cert))

    config = {"tls": {"ca_bundle": str(authority.cert)}}

    assert failures(stored(unasking, client_config=config)) == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_every_server_is_trusted_when_verify_is_false(unasking: SimulatorProcess) -> None:
    assert failures(stored(unasking, client_config={"tls": {"verify": False}})) == []

    assert {VERSIONS_PATH, "/cometd/67.0"} <= set(paths(unasking))


def test_turning_verification_off_gives_a_warning(unasking: SimulatorProcess) -> None:
    with pytest.warns(InsecureRequestWarning):
        token_source(stored(unasking, client_config={"tls": {"verify": False}})).get()


def test_a_stream_trusts_as_configured_and_the_login_with_a_bearer_token_has_none(
    unasking: SimulatorProcess, authority: Authority
) -> None:
    token = issue_token(unasking)
    tls = {"ca_bundle": str(authority.cert)}

    assert failures(stored(unasking, "bearer_token", token=token, client_config={"tls": tls})) == []
    mistrusted = failure(stored(unasking, "bearer_token", token=token))

    assert mistrusted.startswith("REST: no usable answer: no trusted TLS connection to localhost")


# The client's own certificate


@pytest.mark.parametrize("missing", ["client_certificate", "client_key"])
def test_a_host_that_demands_a_certificate_refuses_clients_without_one(
    secure: SecureOrg, missing: str
) -> None:
    tls = {"ca_bundle": secure.tls["ca_bundle"]}
    if missing == "client_key":  # it is not in the same file
        tls["client_certificate"] = secure.tls["client_certificate"]

    with pytest.raises(LoginUnavailable):
        token_source(stored(secure, client_config={"tls": tls})).get()

    assert secure.org.token_requests() == []


def test_a_key_may_be_in_the_file_of_its_certificate(secure: SecureOrg, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(secure.client.cert.read_bytes() + secure.client.key.read_bytes())
    tls = {"ca_bundle": secure.tls["ca_bundle"], "client_certificate": str(both)}

    assert failures(stored(secure, client_config={"tls": tls})) == []


def test_a_certificate_of_a_stranger_is_refused(secure: SecureOrg, stranger: Authority) -> None:
    pair = stranger.issue("other")
    theirs = {"client_certificate": str(pair.cert), "client_key": str(pair.key)}

    with pytest.raises(LoginUnavailable):
        token_source(stored(secure, client_config={"tls": {**secure.tls, **theirs}})).get()

    assert secure.org.token_requests() == []


def test_all_that_follows_a_login_shows_the_certificate_too(
    secure: SecureOrg,
) -> None:
    org = secure.org
    listener = listening(stored(secure, client_config={"tls": secure.tls}), keep_alive_interval=0.2)
    with stream_of(listener) as stream:
        stream.open("-1")
        org.fault("stall", channel="/meta/connect", seconds=0.6)

        poll_until(stream, lambda: VERSIONS_PATH in paths(org))

        client_for(listener).limits()
        assert stream.is_open
    assert {VERSIONS_PATH, "/services/data/v67.0/limits/"} <= set(paths(org))
    assert wait_for(lambda: org.state()["sessions"] == [])  # the goodbye has arrived
    assert grant_types(org) == ["client_credentials"]


def test_a_file_that_is_not_there_is_named_before_anything_is_sent(secure: SecureOrg) -> None:
    tls = {**secure.tls, "client_key": "/nowhere/client.key"}

    assert failure(stored(secure, client_config={"tls": tls})) == (
        "login: not tried, the file /nowhere/client.key in client_config.tls cannot be read; "
        "correct the path"
    )
    assert secure.org.token_requests() == []


def test_a_file_that_holds_no_certificate_is_a_reason(secure: SecureOrg, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate\n")

    for name in secure.tls:
        tls = {**secure.tls, name: str(tmp_path / "no.pem")}
        assert failure(stored(secure, client_config={"tls": tls}))

    assert secure.org.token_requests() == []


# Over HTTP/2


def config(**tls: Any) -> dict[str, Any]:
    return {"http_version": "2", "tls": tls}


def test_http_2_trusts_the_ca_bundle_and_shows_the_certificate(
    authority: Authority, stranger: Authority
) -> None:
    client = authority.issue("client")
    pair = {"client_certificate": str(client.cert), "client_key": str(client.key)}
    with Http2Server(authority.issue("server"), client_ca=authority) as server:
        mine = config(ca_bundle=str(authority.cert), **pair)
        token_source(stored(server, client_config=mine)).get()
        for tls in ({"ca_bundle": str(authority.cert)}, {"ca_bundle": str(stranger.cert), **pair}):
            with pytest.raises(LoginUnavailable):
                token_source(stored(server, client_config=config(**tls))).get()

    assert len(server.asked) == 1


def test_http_2_reports_an_untrusted_server(authority: Authority) -> None:
    with (
        Http2Server(authority.issue("server")) as server,
        pytest.raises(LoginUnavailable, match="no trusted TLS connection to localhost"),
    ):
        token_source(stored(server, client_config=config())).get()


def test_http_2_does_not_verify_when_verify_is_false(authority: Authority) -> None:
    with Http2Server(authority.issue("server")) as server:
        token_source(stored(server, client_config=config(verify=False))).get()

    assert len(server.asked) == 1
