"""Every kind of connection goes only to addresses that the egress policy has checked."""

import asyncio
import socket
import sys
from contextlib import ExitStack

import pytest
import requests

from listeners.connections.client_config import http_config
from listeners.connections.token_sources import token_source
from listeners.models import Connection
from listeners.salesforce.auth.bearer_token import BearerToken
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import (
    DestinationRefused,
    LoginRefused,
    LoginUnavailable,
    Reaction,
    TransportFailed,
)
from listeners.salesforce.http.allowlist import parsed
from listeners.salesforce.http.session import HttpConfig, Proxy, Tls, session_of
from listeners.salesforce.pubsub.endpoint import endpoint_of
from listeners.salesforce.pubsub.grpc_channel import connection_plan
from listeners.salesforce.pubsub.rpc import Calls
from listeners.salesforce.pubsub.stream import PubSubStream
from listeners.salesforce.rest.simple_salesforce import TokenSession
from listeners.salesforce.tokens.tokens import Token
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg, of_json
from tests.servers import wait_for

pytestmark = pytest.mark.slow

SITE = parsed([])
VERSIONS = ["1.0", "1.1", "2"]
TOKENS = BearerToken("00D000000000001!token", "https://org.example")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_that_leads_inside_is_not_connected_to(names, door, version):
    names["crm.example"] = [["127.0.0.1"]]
    http = session_of(HttpConfig(http_version=version, destinations=SITE))

    with pytest.raises(DestinationRefused):
        http.get(f"https://crm.example:{door.port}/", timeout=(5, 5))

    assert door.came == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_name_is_asked_once_so_another_answer_changes_nothing(names, door, version):
    """TEST-NET-1 stands for a public host here; no host answers there."""
    site = parsed(["192.0.2.0/24"])
    names["crm.example"] = [["192.0.2.1"], ["127.0.0.1"]]
    http = session_of(HttpConfig(http_version=version, destinations=site))

    with pytest.raises(requests.ConnectionError):
        http.get(f"https://crm.example:{door.port}/", timeout=(0.2, 1))

    assert door.came == 0


@pytest.fixture(params=["refuses", "does not answer"])
def dead(request, door):
    """Another loopback address at the door's port, where connections fail."""
    address = ("127.0.0.2", door.port)
    with ExitStack() as opened:
        if request.param == "does not answer":  # its queue is full
            opened.enter_context(socket.create_server(address, backlog=0))
            for _ in range(3):
                waiting = opened.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(address)
        yield address[0]


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is loopback there")
@pytest.mark.parametrize("version", VERSIONS)
def test_where_one_address_does_not_answer_the_next_is_tried(names, door, version, dead):
    names["crm.example"] = [[dead, "127.0.0.1"]]
    http = session_of(HttpConfig(http_version=version, destinations=parsed(["loopback"])))

    with pytest.raises(requests.ConnectionError):  # it hangs up
        http.get(f"https://crm.example:{door.port}/", timeout=(2, 60))

    assert wait_for(lambda: door.came) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proxy_of_the_connection_is_a_host_like_any_other(names, door, version):
    names["proxy.example"] = [["127.0.0.1"]]
    proxy = Proxy("proxy.example", door.port)
    http = session_of(HttpConfig(proxy, http_version=version, destinations=SITE))

    with pytest.raises(DestinationRefused):
        http.get("https://example.com/", timeout=(5, 5))

    assert door.came == 0


def test_a_proxy_of_the_environment_is_trusted(monkeypatch, door):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{door.port}")
    http = session_of(HttpConfig(destinations=SITE))

    with pytest.raises(requests.ConnectionError):
        http.get("https://example.com/", timeout=(60, 60))

    assert wait_for(lambda: door.came) == 1
    with pytest.raises(DestinationRefused):  # the policy still checks the request's own destination
        http.get("https://169.254.169.254/", timeout=(5, 5))


@pytest.mark.parametrize("version", ["1.0", "1.1"])  # 2: test_client_config.py
def test_what_is_listed_is_reached(org, version):
    http = session_of(HttpConfig(http_version=version, destinations=parsed(["loopback"])))
    org.tell("/", of_json({}))

    assert http.get(org.url, timeout=(5, 5)).status_code == 200


def test_a_login_says_what_is_wrong_and_is_not_tried_again(transactional_db):
    connection = Connection(
        name="org", auth="client_credentials", client_id="a", client_secret="b",
        base_url="https://169.254.169.254", token_store="memory",
    )  # fmt: skip
    connection.save()

    with pytest.raises(LoginRefused, match="CDC_OUTBOUND_ALLOWED") as refused:
        token_source(connection).get()

    assert refused.value.is_final


def test_a_login_whose_host_leads_inside_is_tried_again_later(transactional_db, names, settings):
    settings.CDC_OUTBOUND = SITE
    names["org.example"] = [["127.0.0.1"]]
    connection = Connection(
        name="org", auth="client_credentials", client_id="a", client_secret="b",
        base_url="https://org.example", token_store="memory",
    )  # fmt: skip
    connection.save()

    with pytest.raises(LoginUnavailable, match="CDC_OUTBOUND_ALLOWED"):
        token_source(connection).get()


def test_a_stream_is_not_opened_where_a_logins_answer_leads_inside(door):
    tokens = BearerToken("token", f"http://127.0.0.1:{door.port}")
    stream = CometdStream(tokens, "/data/ChangeEvents", http_config=HttpConfig(destinations=SITE))

    with pytest.raises(DestinationRefused) as refused:
        stream.open("-1")
    stream.close()

    assert refused.value.reaction is Reaction.CONFIGURATION
    assert door.came == 0


@pytest.mark.parametrize("endpoint", ["127.0.0.1:{}", "http://127.0.0.1:{}", "pubsub.example:{}"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_pubsub_endpoint_inside_is_not_connected_to(names, door, endpoint, verify):
    names["pubsub.example"] = [["127.0.0.1"]]
    stream = PubSubStream(
        TOKENS, "/data/ChangeEvents", endpoint=endpoint.format(door.port),
        http_config=HttpConfig(tls=Tls(verify=verify), destinations=SITE),
    )  # fmt: skip

    with pytest.raises(DestinationRefused):
        stream.open("-1")
    stream.close()

    assert door.came == 0


def test_grpc_is_given_the_addresses_that_were_judged(names):
    names["pubsub.example"] = [["8.8.8.8", "10.0.0.1", "2606:4700::1", "8.8.4.4"], ["127.0.0.1"]]
    plan = connection_plan(endpoint_of("pubsub.example:7443"), HttpConfig(destinations=SITE))

    assert asyncio.run(plan.target()) == "ipv4:8.8.8.8:7443,8.8.4.4:7443"


def test_an_endpoint_whose_name_is_not_known_is_tried_again():
    plan = connection_plan(endpoint_of("nowhere.invalid:7443"), HttpConfig(destinations=SITE))

    with pytest.raises(TransportFailed, match="cannot be resolved"):
        asyncio.run(Calls(plan, Token("00D000000000009!a", "https://org.example"), 5.0).open())


@pytest.fixture
def other_host():
    with ScriptedOrg() as running:
        yield running


@pytest.fixture
def org():
    with ScriptedOrg() as running:
        yield running


class _Tokens:
    def __init__(self, url: str) -> None:
        self._token = Token("a-token-for-the-org", url)

    def get(self) -> Token:
        return self._token

    def invalidate(self, token: Token) -> None:
        raise AssertionError


def _api(org):
    return session_of(HttpConfig(destinations=parsed(["loopback"])), TokenSession(_Tokens(org.url)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_orgs_redirect_to_another_host_is_not_followed(org, other_host, status):
    org.tell("/moved", Reply(b"", status, (("Location", f"{other_host.url}/stolen"),)))

    with _api(org) as http:
        answer = http.post(
            f"{org.url}/moved", data="of the org", headers={"X-SFDC-Session": "placeholder"}
        )

    assert answer.status_code == status
    assert other_host.asked("/stolen") == []


def test_an_orgs_redirect_within_itself_is_followed(org):
    org.tell("/moved", Reply(b"", 302, (("Location", "/there"),)))
    org.tell("/there", of_json({"found": True}))

    with _api(org) as http:
        assert http.get(f"{org.url}/moved").json() == {"found": True}


def test_a_redirect_of_another_host_does_not_lead_inside(org, other_host):
    other_host.tell("/moved", Reply(b"", 302, (("Location", "http://169.254.169.254/meta"),)))

    with _api(org) as http, pytest.raises(DestinationRefused):
        http.get(f"{other_host.url}/moved")


def test_every_session_of_a_connection_is_held(db, settings):
    settings.CDC_OUTBOUND = SITE

    assert http_config(Connection(name="org")).destinations == SITE
