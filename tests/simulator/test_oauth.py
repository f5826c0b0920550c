"""The token endpoint has three grants, and the errors of a real one."""

import re

import pytest

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("grant_type", ["password", "refresh_token", "client_credentials"])
def test_a_grant_gives_a_token_that_works(shared_client: WireClient, grant_type: str) -> None:
    names = {"password": ("username", "password"), "refresh_token": ("refresh_token",)}
    form = {name: shared_client.credentials[name] for name in names.get(grant_type, ())}

    answer = shared_client.token_request(grant_type=grant_type, **form).json()

    shared_client.token = answer["access_token"]
    assert shared_client.get("/services/data/v60.0/limits").status_code == 200
    assert set(answer) == {
        *("access_token", "instance_url", "id", "token_type", "issued_at", "signature", "scope")
    }
    assert answer["instance_url"] == shared_client.url
    org_id = shared_client.credentials["org_id"]
    assert re.fullmatch(rf"{shared_client.url}/id/{org_id}/005\w{{15}}", answer["id"])
    assert answer["token_type"] == "Bearer"
    assert answer["issued_at"].isdigit()


def test_the_client_may_use_a_basic_header(shared_client: WireClient) -> None:
    url = f"{shared_client.url}/services/oauth2/token"
    form = {"grant_type": "client_credentials"}
    credentials = shared_client.credentials
    pair = (credentials["client_id"], credentials["client_secret"])

    good = shared_client.http.post(url, data=form, auth=pair, timeout=PATIENCE_SECONDS)
    bad = shared_client.http.post(url, data=form, auth=(pair[0], "wrong"), timeout=PATIENCE_SECONDS)

    assert good.status_code == 200
    assert bad.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        (
            {"grant_type": "client_credentials", "client_id": "nobody"},
            "invalid_client_id",
            "client identifier invalid",
        ),
        (
            {"grant_type": "client_credentials", "client_secret": "wrong"},
            "invalid_client",
            "invalid client credentials",
        ),
        (
            {"grant_type": "password", "username": "me", "password": "wrong"},
            "invalid_grant",
            "authentication failure",
        ),
        ({"grant_type": "password"}, "invalid_grant", "authentication failure"),
        (
            {"grant_type": "refresh_token", "refresh_token": "old"},
            "invalid_grant",
            "expired access/refresh token",
        ),
        ({"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
        ({}, "unsupported_grant_type", "grant type not supported"),
    ],
)
def test_a_refused_token_request(
    shared_client: WireClient, form: dict[str, str], error: str, description: str
) -> None:
    response = shared_client.token_request(**form)

    assert response.status_code == 400
    assert response.json() == {"error": error, "error_description": description}


def test_a_body_that_is_not_a_form_is_refused(shared_client: WireClient) -> None:
    url = f"{shared_client.url}/services/oauth2/token"

    response = shared_client.http.post(
        url, json={"grant_type": "password"}, timeout=PATIENCE_SECONDS
    )

    assert response.json()["error"] == "unsupported_grant_type"


def test_login_can_be_refused_for_a_while(org: SimulatorProcess, client: WireClient) -> None:
    org.fault("refuse_login", times=2)

    answers = [client.token_request(grant_type="client_credentials") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert answers[0].json()["error_description"] == "authentication failure"


def test_token_requests_are_logged(org: SimulatorProcess, client: WireClient) -> None:
    client.token_request(grant_type="client_credentials")
    client.token_request(grant_type="password", username="me", password="wrong")

    state = org.state()

    logged = [(line["grant_type"], line["outcome"]) for line in state["token_requests"]]
    assert logged == [
        ("client_credentials", "ok"),
        ("password", "invalid_grant: authentication failure"),
    ]
    assert state["token_requests_last_minute"] == 2


def test_a_revoked_token_is_invalid_at_once(org: SimulatorProcess, client: WireClient) -> None:
    client.log_in()

    org.fault("revoke_tokens")

    response = client.get("/services/data/v60.0/limits")
    assert response.status_code == 401
    assert response.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]


def test_without_rotation_a_refresh_token_serves_many_times(shared_client: WireClient) -> None:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": shared_client.credentials["refresh_token"],
    }

    answers = [shared_client.token_request(**form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert "refresh_token" not in answers[0].json()


def test_with_rotation_reuse_revokes_everything() -> None:
    with SimulatorProcess("--rotate-refresh-tokens") as org, WireClient(org) as client:
        first = client.credentials["refresh_token"]
        answer = client.token_request(grant_type="refresh_token", refresh_token=first).json()
        second = answer["refresh_token"]
        again = client.token_request(grant_type="refresh_token", refresh_token=second).json()

        reused = client.token_request(grant_type="refresh_token", refresh_token=first)
        current = client.token_request(
            grant_type="refresh_token", refresh_token=again["refresh_token"]
        )
        client.token = again["access_token"]
        revoked = client.get("/services/data/v60.0/limits")
        anew = client.token_request(
            grant_type="refresh_token", refresh_token=org.new_refresh_token()
        )

    assert len({first, second, again["refresh_token"]}) == 3
    assert reused.json()["error_description"] == "expired access/refresh token"
    assert current.json()["error_description"] == "expired access/refresh token"
    assert revoked.status_code == 401
    assert anew.status_code == 200
