"""Options of an org decide what its OAuth grants require and return."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture(scope="module")
def lax_org():
    options = ("--no-client-check", "--password-refresh-tokens", "--no-client-credentials-user")
    with SimulatorProcess(*options, "--rotate-refresh-tokens") as process:
        yield process


@pytest.fixture
def lax_client(lax_org: SimulatorProcess):
    with WireClient(lax_org) as client:
        yield client


def by_password(client: WireClient, **form: str):
    names = ("username", "password")
    known = {name: client.credentials[name] for name in names}
    return client.token_request(grant_type="password", **{**known, **form})


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_id": "", "client_secret": ""}, None),
        ({"client_secret": ""}, None),
        ({"client_id": "other"}, "invalid_client_id"),
        ({"client_secret": "other"}, "invalid_client"),
        ({"client_id": "", "client_secret": "", "password": "wrong"}, "invalid_grant"),
    ],
)
def test_the_password_grant_can_do_without_a_client(
    lax_client: WireClient, form: dict[str, str], error: str | None
) -> None:
    assert by_password(lax_client, **form).json().get("error") == error


def test_the_password_grant_requires_the_client_by_default(
    shared_client: WireClient,
) -> None:
    response = by_password(shared_client, client_id="", client_secret="")

    assert response.json()["error"] == "invalid_client_id"


def test_other_grants_always_ask_for_the_client(lax_client: WireClient) -> None:
    response = lax_client.token_request(
        grant_type="refresh_token",
        refresh_token=lax_client.credentials["refresh_token"],
        client_id="",
        client_secret="",
    )

    assert response.json()["error"] == "invalid_client_id"


def test_the_password_grant_can_give_the_current_refresh_token(lax_client: WireClient) -> None:
    first = by_password(lax_client).json()["refresh_token"]
    second = by_password(lax_client).json()["refresh_token"]
    renewed = lax_client.token_request(grant_type="refresh_token", refresh_token=first).json()
    third = by_password(lax_client).json()["refresh_token"]
    lax_client.token_request(grant_type="refresh_token", refresh_token=first)
    anew = by_password(lax_client).json()["refresh_token"]

    assert first == second
    assert third == renewed["refresh_token"] != first
    assert anew not in (first, third)


def test_client_credentials_need_a_user(lax_client: WireClient) -> None:
    response = lax_client.token_request(grant_type="client_credentials")

    assert response.status_code == 400
    assert response.json() == {
        "error": "invalid_grant",
        "error_description": "no client credentials user enabled",
    }
