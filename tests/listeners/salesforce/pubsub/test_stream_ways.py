"""A stream reaches its endpoint with the configured TLS, through a proxy, or both."""

from __future__ import annotations

import base64
import ssl
import tempfile
import traceback
from contextlib import closing

import grpc
import pytest

from listeners.salesforce.errors import Reaction, StreamRefused, TransportFailed
from listeners.salesforce.http.session import ClientFileMissing, HttpConfig, Proxy, Tls
from tests.listeners.salesforce.pubsub.odd_server import OddServer, of_http
from tests.listeners.salesforce.pubsub.scripted import ScriptedPubSub
from tests.listeners.salesforce.pubsub.scripted_events import batch
from tests.listeners.salesforce.pubsub.streams import names_of, stream_to
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.simulator.certificates import Authority


def one_event(call):
    yield batch(1, 1)
    call.until_hung_up()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pubsub-tls"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server")


@pytest.fixture(scope="module")
def client(authority):
    return authority.issue("client")


@pytest.fixture
def secure(authority, pair):
    """A server that requires a client certificate of the authority."""
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.cert.read_bytes())], authority.cert.read_bytes(), True
    )
    with ScriptedPubSub(one_event, credentials=credentials) as server:
        yield server


@pytest.fixture
def shown(client):
    return {"client_certificate": str(client.cert), "client_key": str(client.key)}


@pytest.fixture(autouse=True)
def _no_proxy_of_the_environment(monkeypatch):
    for name in ("grpc_proxy", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def name_through(endpoint, **config):
    """Return the name in the first event received with this configuration."""
    with closing(stream_to(endpoint, http_config=HttpConfig(**config))) as stream:
        stream.open("-1")
        return names_of(stream.poll())


def address(server):
    return f"localhost:{server.port}"


def test_tls_is_verified_with_the_configured_authority(secure, authority, shown):
    tls = Tls(ca_bundle=str(authority.cert), **shown)

    assert name_through(address(secure), tls=tls) == ["1"]
    assert name_through(f"https://{address(secure)}", tls=tls) == ["1"]


def test_tls_with_an_unknown_authority_is_no_connection(secure, shown):
    with pytest.raises(TransportFailed):
        name_through(address(secure), tls=Tls(**shown))


def test_tls_without_the_certificate_that_is_asked_for_is_no_connection(secure, authority):
    with pytest.raises(TransportFailed):
        name_through(address(secure), tls=Tls(ca_bundle=str(authority.cert)))


def test_tls_that_is_not_verified_takes_any_server(secure, shown):
    assert name_through(address(secure), tls=Tls(verify=False, **shown)) == ["1"]


def test_requests_have_the_servers_own_name(pair):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["h2"])
    with OddServer(of_http(503), tls=context) as server, pytest.raises(TransportFailed):
        name_through(address(server), tls=Tls(verify=False))

    for headers in server.headers:
        assert headers[":authority"] == address(server)
        assert headers[":scheme"] == "https"
        assert headers["user-agent"].startswith("salesforce-cdc ")


def test_a_certificate_and_its_key_may_be_in_one_file(secure, authority, client, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(client.cert.read_bytes() + client.key.read_bytes())
    tls = Tls(ca_bundle=str(authority.cert), client_certificate=str(both))

    assert name_through(address(secure), tls=tls) == ["1"]


def test_a_file_that_is_missing_is_named(secure, tmp_path):
    missing = str(tmp_path / "none.pem")
    with pytest.raises(ClientFileMissing, match=r"none\.pem"):
        name_through(address(secure), tls=Tls(ca_bundle=missing))


def test_a_file_without_a_certificate_is_a_configuration_error(secure, tmp_path):
    (empty := tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(StreamRefused, match=r"client_config\.tls") as refused:
        name_through(address(secure), tls=Tls(client_certificate=str(empty)))

    assert refused.value.reaction is Reaction.CONFIGURATION


@pytest.mark.parametrize("verify", [True, False])
def test_a_proxy_of_the_connection_is_gone_through(secure, authority, shown, verify):
    tls = Tls(ca_bundle=str(authority.cert) if verify else "", verify=verify, **shown)
    with CountingProxy(login="me:se cret") as proxy:
        way = Proxy(proxy.host, proxy.port, username="me", password="se cret")
        assert name_through(address(secure), proxy=way, tls=tls) == ["1"]

    assert {passed.method for passed in proxy.passed} == {"CONNECT"}
    assert proxy.hosts == {address(secure)}


@pytest.mark.parametrize("verify", [True, False])
def test_a_proxy_may_be_spoken_to_over_tls(secure, authority, pair, shown, verify):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    tls = Tls(ca_bundle=str(authority.cert) if verify else "", verify=verify, **shown)
    with CountingProxy(tls=context) as proxy:
        way = Proxy("localhost", proxy.port, "https")
        assert name_through(address(secure), proxy=way, tls=tls) == ["1"]

    assert proxy.hosts == {address(secure)}


def test_plain_text_goes_through_a_proxy_too(serve):
    server = serve(one_event)
    with CountingProxy() as proxy:
        assert name_through(server.endpoint, proxy=Proxy(proxy.host, proxy.port)) == ["1"]

    assert proxy.hosts == {f"127.0.0.1:{server.port}"}


def test_a_proxy_that_refuses_the_login_is_the_operators_business(serve):
    server = serve(one_event)
    with CountingProxy(login="me:right") as proxy:
        way = Proxy(proxy.host, proxy.port, username="me", password="wrong-one")
        with pytest.raises(StreamRefused, match=r"HTTP 407.*user name and password") as refused:
            name_through(server.endpoint, proxy=way)

    assert refused.value.reaction is Reaction.CONFIGURATION
    shown = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    told = "".join(shown.format())
    assert "wrong-one" not in told
    assert base64.b64encode(b"me:wrong-one").decode() not in told
    assert not server.asked


def test_a_proxy_that_refuses_anything_else_is_tried_again(serve):
    server = serve(one_event)
    with (
        CountingProxy(forbids=True) as proxy,
        pytest.raises(TransportFailed, match="HTTP 403") as failed,
    ):
        name_through(server.endpoint, proxy=Proxy(proxy.host, proxy.port))

    assert failed.value.status == 403


@pytest.mark.parametrize("folder", ["none", "long" * 30])
def test_an_unusable_temporary_folder_is_reported_and_tried_again(tmp_path, monkeypatch, folder):
    if folder != "none":
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / folder))
    with pytest.raises(StreamRefused, match="TMPDIR") as refused:
        name_through("http://127.0.0.1:1", proxy=Proxy("127.0.0.1", 1))

    assert refused.value.reaction is Reaction.RETRY
    assert [path.name for path in tmp_path.rglob("*")] == [folder] * (folder != "none")


@pytest.mark.parametrize("name", ["grpc_proxy", "http_proxy", "HTTP_PROXY"])
def test_a_proxy_of_the_environment_is_gone_through(serve, monkeypatch, name):
    server = serve(one_event)
    with CountingProxy(login="me:p@ss") as proxy:
        monkeypatch.setenv(name, f"http://me:p%40ss@{proxy.host}:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "elsewhere.example")
        assert name_through(server.endpoint) == ["1"]
        assert len(proxy.passed) == 1

        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert name_through(server.endpoint) == ["1"]
        assert len(proxy.passed) == 1


def test_a_proxy_of_an_unsupported_kind_is_reported(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://me:hush@127.0.0.1:1")
    with pytest.raises(StreamRefused, match="neither http nor https") as refused:
        name_through(serve(one_event).endpoint)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("excepted", ["", "*"])
def test_a_proxy_of_the_connection_outranks_the_environment(serve, monkeypatch, excepted):
    server = serve(one_event)
    with CountingProxy() as proxy:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", excepted)
        assert name_through(server.endpoint, proxy=Proxy(proxy.host, proxy.port)) == ["1"]

    assert len(proxy.passed) == 1
