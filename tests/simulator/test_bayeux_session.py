"""A Bayeux session: handshake, connects, cookies, and the ways in which it ends."""

import threading
from collections.abc import Iterator

import pytest
import requests

from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere

UNKNOWN_CLIENT_ADVICE = {"interval": 0, "reconnect": "handshake"}


@pytest.fixture(scope="module")
def org() -> Iterator[SimulatorProcess]:
    """A simulator for this module, which really holds long polls."""
    with SimulatorProcess("--connect-timeout", "60") as process:
        yield process


def test_a_handshake_gives_a_client_id_and_cookies(shared_client: WireClient) -> None:
    answer = shared_client.log_in().handshake()

    assert answer["successful"] is True
    assert answer["ext"] == {"replay": True, "payload.format": True}
    assert set(shared_client.http.cookies.keys()) == {"BAYEUX_BROWSER", "sfdc-stream"}


def test_a_handshake_without_a_token_is_denied(shared_client: WireClient) -> None:
    answer = shared_client.handshake()

    assert answer["error"] == "403::Handshake denied"
    assert answer["ext"]["sfdc"]["failureReason"] == "401::Request requires authentication"
    assert answer["advice"] == {"reconnect": "none"}


def test_a_handshake_with_a_bad_token_is_denied(shared_client: WireClient) -> None:
    shared_client.token = "not-a-token"

    answer = shared_client.handshake()

    assert answer["error"] == "403::Handshake denied"
    assert answer["ext"]["sfdc"]["failureReason"] == "401::Authentication invalid"


def test_the_first_connect_returns_at_once_with_advice(client: WireClient) -> None:
    client.log_in().handshake()

    [answer] = client.connect()

    assert answer["advice"] == {"interval": 0, "timeout": 60_000, "reconnect": "retry"}


def test_a_later_connect_is_held_and_then_acknowledged(shared_client: WireClient) -> None:
    shared_client.start()

    [answer] = shared_client.connect()

    assert answer["successful"] is True
    assert "advice" not in answer


def test_a_held_connect_brings_events_and_its_acknowledgement(
    org: SimulatorProcess, client: WireClient
) -> None:
    client.start()
    org.create("Account", {"Name": "A"}, {"Name": "B"})

    answers = client.connect()

    assert [answer["channel"] for answer in answers] == [ALL, ALL, "/meta/connect"]


def test_a_held_connect_is_woken_by_an_event(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    received: list[object] = []
    thread = threading.Thread(target=lambda: received.extend(client.receive()))
    thread.start()
    org.wait_until_held()

    org.create("Account", Name="Acme")
    thread.join()

    assert len(received) == 1


def test_a_newer_connect_ends_an_older_one(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    older: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: older.extend(client.connect()))
    thread.start()
    org.wait_until_held()

    with WireClient(org) as same_client:
        same_client.token, same_client.client_id = client.token, client.client_id
        same_client.http.cookies.update(client.http.cookies)
        newer = threading.Thread(target=same_client.connect)
        newer.start()
        thread.join()
        org.create("Account", Name="Acme")
        newer.join()

    assert [answer["successful"] for answer in older] == [True]


def test_a_client_that_goes_away_loses_nothing(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    message = {"channel": "/meta/connect", "connectionType": "long-polling"}
    headers = {"Authorization": f"Bearer {client.token}"}
    url = f"{client.url}/cometd/60.0"
    body = [{**message, "clientId": client.client_id}]
    before = len(org.api_requests())
    with pytest.raises(requests.exceptions.ReadTimeout):
        client.http.post(url, json=body, headers=headers, timeout=2)
    wait_for(lambda: len(org.api_requests()) > before)
    org.wait_for(lambda state: not any(s["held"] for s in state["sessions"]))

    org.create("Account", Name="Acme")

    assert len(client.receive()) == 1


def test_a_connect_in_a_batch_is_not_held(client: WireClient) -> None:
    client.start()
    messages = [
        {"channel": "/meta/connect", "connectionType": "long-polling", "id": "8"},
        {"channel": "/meta/subscribe", "subscription": "/data/AccountChangeEvent", "id": "9"},
    ]

    answers = client.post([{**message, "clientId": client.client_id} for message in messages])

    assert [answer["successful"] for answer in answers.json()] == [True, True]


def test_a_client_without_its_cookies_is_unknown(shared_client: WireClient) -> None:
    shared_client.log_in().handshake()
    shared_client.http.cookies.clear()

    [answer] = shared_client.connect()

    assert answer["error"] == "403::Unknown client"
    assert answer["advice"] == UNKNOWN_CLIENT_ADVICE


def test_a_re_encoded_cookie_is_not_the_cookie(shared_client: WireClient) -> None:
    shared_client.log_in().handshake()
    value = shared_client.http.cookies["sfdc-stream"]
    shared_client.http.cookies.set(
        "sfdc-stream", value.replace("+", "%2B"), domain="localhost.local", path="/"
    )

    [answer] = shared_client.connect()

    assert answer["error"] == "403::Unknown client"


def test_a_client_without_its_browser_cookie_gets_an_error(shared_client: WireClient) -> None:
    shared_client.log_in().handshake()
    kept = shared_client.http.cookies["sfdc-stream"]
    shared_client.http.cookies.clear()
    shared_client.http.cookies.set("sfdc-stream", kept)

    [answer] = shared_client.connect()

    assert answer["error"] == (
        f"400::Client {shared_client.client_id} has established a session, "
        "but no BAYEUX_BROWSER cookie present"
    )


def test_a_client_that_does_not_connect_for_40_seconds_is_dropped(
    org: SimulatorProcess, client: WireClient
) -> None:
    client.start()
    org.advance(41)

    [answer] = client.connect()

    assert answer["error"] == "403::Unknown client"


def test_an_expired_token_is_invalid_on_connect(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    org.advance(7201)

    [answer] = client.connect()

    assert answer["error"] == "401::Authentication invalid"
    assert answer["advice"] == {"reconnect": "none", "interval": 0}
    assert answer["clientId"] == client.client_id


def test_a_disconnected_client_is_unknown(shared_client: WireClient) -> None:
    shared_client.start()

    [farewell] = shared_client.send("/meta/disconnect")
    [answer] = shared_client.connect()

    assert farewell["successful"] is True
    assert answer["error"] == "403::Unknown client"


def test_an_unsubscribed_channel_brings_nothing(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    client.subscribe("/data/AccountChangeEvent")
    client.send("/meta/unsubscribe", subscription=ALL)
    org.create("Contact", Name={"LastName": "Ito"})
    org.create("Account", Name="Acme")

    answers = client.connect()

    assert [answer["channel"] for answer in answers[:-1]] == ["/data/AccountChangeEvent"]


def test_a_large_request_is_refused(shared_client: WireClient) -> None:
    response = shared_client.post([{"channel": "/meta/handshake", "padding": "x" * 32_768}])

    assert response.status_code == 413
    assert response.text == "413 Maximum Request Size Exceeded"


def test_a_version_is_mandatory(shared_client: WireClient) -> None:
    for path in ("/cometd", "/cometd/", "/cometd/36.0", "/cometd/new"):
        [answer] = shared_client.post([{"channel": "/meta/handshake"}], path).json()

        assert answer["error"] == (
            "400::API version in the URI is mandatory. URI format: '/cometd/67.0'"
        )


def test_other_protocol_errors(shared_client: WireClient) -> None:
    shared_client.log_in()

    [early] = shared_client.connect()
    shared_client.handshake()
    [odd] = shared_client.connect(connectionType="websocket")
    [unknown] = shared_client.send("/somewhere", data={})

    assert early["error"] == "403::Client has not completed handshake"
    assert odd["error"] == "400::Invalid connection type {websocket}"
    assert unknown["error"] == "404::Unknown channel"


def test_what_is_not_bayeux_is_a_bad_request(shared_client: WireClient) -> None:
    for body in ("text", [], [1]):
        assert shared_client.post(body).status_code == 400
