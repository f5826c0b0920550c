"""The control API shows the requests that clients have sent."""

import socket
from collections.abc import Iterator

import pytest
import requests

from tests.servers import PATIENCE_SECONDS, wait_for
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def org() -> Iterator[SimulatorProcess]:
    """A simulator of the test's own, which holds long polls for longer than its clients wait."""
    with SimulatorProcess("--connect-timeout", "60") as process:
        yield process


def test_a_token_request_is_shown_as_it_came(org: SimulatorProcess, client: WireClient) -> None:
    form = {"grant_type": "password", "username": "me", "password": "wrong"}
    url = f"{org.url}/services/oauth2/token"
    headers = {"X-Mine": "yes"}

    requests.post(url, data=form, auth=("id", "secret"), headers=headers, timeout=PATIENCE_SECONDS)

    [line] = org.token_requests()
    assert (line["path"], line["http_version"]) == ("/services/oauth2/token", "1.1")
    assert line["credential_bearer"] == "basic"
    assert line["headers"]["X-Mine"] == "yes"
    assert line["headers"]["Authorization"].startswith("Basic ")
    assert line["form"] == form
    assert line["refresh_token_reused"] is False
    assert line["peer"].startswith("127.0.0.1:")
    assert org.state()["token_requests"] == [line]


def test_the_version_of_http_is_shown(org: SimulatorProcess) -> None:
    with socket.create_connection(("127.0.0.1", org.port)) as connection:
        connection.sendall(b"POST /services/oauth2/token HTTP/1.0\r\n\r\n")
        while connection.recv(4_096):
            pass

    assert [line["http_version"] for line in org.token_requests()] == ["1.0"]


def test_a_token_request_that_met_a_fault_is_shown(
    org: SimulatorProcess, client: WireClient
) -> None:
    org.fault("http_status", target="token", status=502)

    client.token_request(grant_type="client_credentials")

    [line] = org.token_requests()
    assert (line["grant_type"], line["outcome"]) == ("client_credentials", "http_status: 502")


def test_other_requests_are_shown_with_their_token(
    org: SimulatorProcess, client: WireClient
) -> None:
    client.log_in()
    client.handshake()
    client.get("/services/data/v60.0/query", q="SELECT Id FROM Account")
    client.get("/nowhere")

    lines = org.api_requests()

    seen = [(line["method"], line["path"], line["status"]) for line in lines]
    assert seen == [
        ("POST", "/cometd/60.0", 200),
        ("GET", "/services/data/v60.0/query", 200),
        ("GET", "/nowhere", 404),
    ]
    assert {line["authorization"] for line in lines} == {f"Bearer {client.token}"}
    assert lines[1]["query"] == "q=SELECT+Id+FROM+Account"
    assert lines[1]["headers"]["Host"] == f"localhost:{org.port}"


def test_a_request_whose_client_hung_up_has_no_status(
    org: SimulatorProcess, client: WireClient
) -> None:
    client.start()
    message = {"channel": "/meta/connect", "connectionType": "long-polling"}
    with pytest.raises(requests.ReadTimeout):
        client.http.post(
            f"{org.url}/cometd/60.0",
            json=[{**message, "clientId": client.client_id}],
            headers={"Authorization": f"Bearer {client.token}"},
            timeout=2,
        )

    wait_for(lambda: len(org.api_requests()) == 4)
    assert [line["status"] for line in org.api_requests()] == [200, 200, 200, None]


def test_only_what_came_since_can_be_asked_for(org: SimulatorProcess, client: WireClient) -> None:
    client.log_in()
    client.get("/services/data/v60.0/limits")
    org.advance(60)
    now = org.state()["now"]
    client.get("/services/data/v64.0/limits")

    assert [line["path"] for line in org.api_requests(now)] == ["/services/data/v64.0/limits"]
    assert org.token_requests(now) == []


def test_the_logs_can_be_emptied(org: SimulatorProcess, client: WireClient) -> None:
    client.token_request(grant_type="refresh_token", refresh_token="x")
    client.get("/services/data")

    org.forget_requests()

    assert (org.api_requests(), org.token_requests()) == ([], [])
    assert org.state()["logins"]["refresh_requests"] == 0


def test_wrong_input_is_named(shared_org: SimulatorProcess) -> None:
    url = f"{shared_org.url}/_simulator/requests"

    response = requests.get(url, params={"since": "noon"}, timeout=PATIENCE_SECONDS)

    assert (response.status_code, response.json()) == (
        400,
        {"error": "the query: 'since' must be a number"},
    )
