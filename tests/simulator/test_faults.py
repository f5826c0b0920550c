"""Faults affect the requests that they are meant for, as often as requested."""

import time
from collections.abc import Iterator

import pytest
import requests

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def org(shared_org: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The module's simulator; the faults of each test are removed after it."""
    yield shared_org
    shared_org.clear_faults()


DENIAL_OF_SERVICE = (
    "403::To protect all customers from excessive use and Denial of Service attacks, we limit the "
    "number of simultaneous connections per server.  Your request has been denied because this "
    "limit has been exceeded.  Please try your request again later."
)


@pytest.mark.parametrize("target", ["cometd", "token", "rest"])
def test_an_http_status(org: SimulatorProcess, client: WireClient, target: str) -> None:
    client.start()
    org.fault("http_status", target=target, status=503, retry_after=7, times=2)

    def request() -> requests.Response:
        match target:
            case "cometd":
                return client.post([{"channel": "/meta/subscribe", "clientId": client.client_id}])
            case "token":
                return client.token_request(grant_type="client_credentials")
            case _:
                return client.get("/services/data/v60.0/limits")

    responses = [request() for _ in range(3)]

    assert [response.status_code for response in responses] == [503, 503, 200]
    assert responses[0].headers["Retry-After"] == "7"


def test_an_http_status_for_one_channel(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("http_status", status=500, channel="/meta/handshake", times=None)
    client.log_in()

    statuses = [client.post([{"channel": "/meta/handshake"}]).status_code for _ in range(3)]
    other = client.post([{"channel": "/meta/connect"}]).status_code
    org.clear_faults()

    assert statuses == [500, 500, 500]
    assert other == 200
    assert client.handshake()["successful"]


@pytest.mark.parametrize("keep_events", [True, False])
def test_a_connection_closed_in_the_middle_of_an_answer(
    org: SimulatorProcess, client: WireClient, *, keep_events: bool
) -> None:
    client.start()
    org.fault("close", events_only=True, keep_events=keep_events)
    org.create("Account", Name="Acme")

    with pytest.raises(requests.exceptions.RequestException):
        client.connect()
    org.create("Account", Name="Next")

    names = [data["payload"]["Name"] for data in client.receive()]
    assert names == (["Acme", "Next"] if keep_events else ["Next"])


def test_malformed_json(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    org.create("Account", Name="Acme")
    org.fault("malformed")

    with pytest.raises(requests.exceptions.JSONDecodeError):
        client.connect()

    org.create("Account", Name="Next")
    assert len(client.receive()) == 1


def test_malformed_json_from_the_token_endpoint(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("malformed", target="token")

    response = client.token_request(grant_type="client_credentials")

    assert response.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_a_stalled_answer(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("stall", target="token", seconds=0.3)
    started = time.monotonic()

    response = client.token_request(grant_type="client_credentials")

    assert response.status_code == 200
    assert time.monotonic() - started >= 0.3


def test_a_server_too_busy(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    org.fault("too_busy")

    [answer] = client.connect()

    assert answer["error"] == "401::Authentication invalid"
    assert answer["ext"]["sfdc"]["failureReason"] == (
        "503::Server is too busy.  Please try your request again later."
    )
    assert answer["advice"] == {"reconnect": "none", "interval": 0}


def test_too_many_simultaneous_connections(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("connection_limit")
    client.log_in()

    answer = client.handshake()

    assert answer["error"] == "403::Handshake denied"
    assert answer["ext"]["sfdc"]["failureReason"] == DENIAL_OF_SERVICE


@pytest.mark.parametrize(
    "error",
    [
        "403::Organization concurrent user limit exceeded",
        "403::Organization total events daily limit exceeded",
        "403::Restricted channel",
        "403::User not allowed to subscribe CDC without View All Data permissions",
        "403::Subscription limit exceeded for this topic",
    ],
)
def test_a_refused_subscription(org: SimulatorProcess, client: WireClient, error: str) -> None:
    org.fault("refuse_subscribe", error=error, subscription=ALL)
    client.log_in().handshake()
    client.connect()

    other = client.subscribe("/data/AccountChangeEvent")
    answer = client.subscribe(ALL)
    again = client.subscribe(ALL)

    assert other["successful"]
    assert answer["error"] == error
    assert again["successful"]


def test_any_other_error(org: SimulatorProcess, client: WireClient) -> None:
    org.fault(
        "meta_error",
        channel="/meta/connect",
        error="400::Authenticated user id does not match the session's user id",
        reconnect="handshake",
    )
    client.log_in().handshake()

    [answer] = client.connect()

    assert answer["error"].startswith("400::Authenticated user id")
    assert answer["advice"]["reconnect"] == "handshake"


@pytest.mark.parametrize("error", ["403::Unknown client", "402::Unknown client"])
def test_dropped_sessions(org: SimulatorProcess, client: WireClient, error: str) -> None:
    client.start()

    answer = org.fault("drop_sessions", error=error)

    assert answer["affected"] >= 1
    assert client.connect()[0]["error"] == error


def test_revoked_tokens_end_a_session(org: SimulatorProcess, client: WireClient) -> None:
    client.start()

    org.fault("revoke_tokens")

    assert client.connect()[0]["error"] == "401::Authentication invalid"


def test_an_injected_message(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("drop_sessions")
    client.start()
    message = {"channel": ALL, "data": {"payload": {"no": "header"}}}

    sessions = org.inject(ALL, message)

    assert sessions == 1
    assert client.connect()[0] == message


def test_a_duplicate_delivery(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    org.create("Account", Name="Acme")
    replay_id = org.state()["newest_replay_id"]

    org.duplicate(replay_id)

    assert [data["event"]["replayId"] for data in client.receive()] == [replay_id, replay_id]


def test_a_raw_event_is_sent_as_it_is(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    header = {"entityName": "Account", "changeType": "MOVED", "recordIds": ["001"]}

    org.raw(header, Odd=[1, {"deep": None}])
    org.raw(header, complete=True)
    org.raw_payload({"no": "header"}, entity="Account")

    verbatim, completed, headless = (data["payload"] for data in client.receive())
    assert verbatim == {"Odd": [1, {"deep": None}], "ChangeEventHeader": header}
    assert completed["ChangeEventHeader"]["changeType"] == "MOVED"
    assert completed["ChangeEventHeader"]["sequenceNumber"] == 1
    assert headless == {"no": "header"}
