"""A second refresh during a slow one is refused, and a refresh counts even if its client has
gone."""

import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def slow_org() -> Iterator[SimulatorProcess]:
    """A simulator whose refreshes take so long that a busy machine sees them in progress."""
    with SimulatorProcess("--rotate-refresh-tokens", "--token-seconds", "8") as process:
        yield process


@pytest.fixture
def slow_client(slow_org: SimulatorProcess) -> Iterator[WireClient]:
    with WireClient(slow_org) as client:
        yield client


def refresh(client: WireClient, token: str) -> requests.Response:
    return client.token_request(grant_type="refresh_token", refresh_token=token)


def wait_until_in_progress(org: SimulatorProcess, count: int) -> None:
    org.wait_for(lambda state: state["logins"]["refreshes_in_progress"] == count)


def test_the_second_is_refused_and_is_no_reuse(
    slow_org: SimulatorProcess, slow_client: WireClient
) -> None:
    token = slow_org.credentials["refresh_token"]
    answers: list[requests.Response] = []
    first = threading.Thread(target=lambda: answers.append(refresh(slow_client, token)))
    first.start()
    wait_until_in_progress(slow_org, 1)

    with WireClient(slow_org) as other:
        second = refresh(other, token)
    first.join()

    assert second.json()["error_description"] == "token request is already being processed"
    assert answers[0].status_code == 200
    assert refresh(slow_client, answers[0].json()["refresh_token"]).status_code == 200
    logins = slow_org.state()["logins"]
    assert (logins["refresh_requests"], logins["refresh_reuses"]) == (3, 0)


def test_the_token_is_rotated_although_the_client_hung_up(
    slow_org: SimulatorProcess, slow_client: WireClient
) -> None:
    known = slow_org.credentials
    names = ("client_id", "client_secret", "refresh_token")
    form = "&".join(["grant_type=refresh_token", *(f"{name}={known[name]}" for name in names)])
    with socket.create_connection(("127.0.0.1", slow_org.port)) as connection:
        connection.sendall(
            b"POST /services/oauth2/token HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            + f"Content-Length: {len(form)}\r\n\r\n{form}".encode()
        )
        wait_until_in_progress(slow_org, 1)
    wait_until_in_progress(slow_org, 0)

    reuse = refresh(slow_client, known["refresh_token"])

    assert reuse.json()["error_description"] == "expired access/refresh token"
    outcomes = [line["outcome"] for line in slow_org.token_requests()]
    assert outcomes == ["ok", "invalid_grant: expired access/refresh token"]
    reused = [line["refresh_token_reused"] for line in slow_org.token_requests()]
    assert reused == [False, True]
    assert slow_org.state()["logins"]["refresh_reuses"] == 1
