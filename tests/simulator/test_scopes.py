"""A token's scope is the requested one, as far as it is granted."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("", "refresh_token api"),
        ("api", "api"),
        ("api refresh_token", "api refresh_token"),
        ("web api", "api"),
    ],
)
def test_the_answer_names_what_is_granted(
    shared_client: WireClient, asked: str, granted: str
) -> None:
    answer = shared_client.token_request(grant_type="client_credentials", scope=asked).json()

    assert answer["scope"] == granted


@pytest.mark.parametrize(
    ("asked", "description"),
    [
        ("api magic", "the requested scope is invalid, unknown, or malformed"),
        ("web", "the requested scope is not allowed"),
    ],
)
def test_a_scope_that_is_refused(shared_client: WireClient, asked: str, description: str) -> None:
    response = shared_client.token_request(grant_type="client_credentials", scope=asked)

    assert response.status_code == 400
    assert response.json() == {"error": "invalid_scope", "error_description": description}


def test_a_wrong_scope_does_not_spend_a_refresh_token() -> None:
    with SimulatorProcess("--rotate-refresh-tokens") as org, WireClient(org) as client:
        form = {"grant_type": "refresh_token", "refresh_token": org.credentials["refresh_token"]}
        client.token_request(**form, scope="magic")

        assert client.token_request(**form).status_code == 200
