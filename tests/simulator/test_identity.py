"""The identity endpoints describe the logged-in user, and revoking a token ends the login."""

from urllib.parse import parse_qs

import pytest

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.rest_client import RestClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def rest(shared_org: SimulatorProcess) -> RestClient:
    return RestClient(shared_org)


def test_userinfo_names_the_user_and_the_org(
    shared_org: SimulatorProcess, rest: RestClient
) -> None:
    for method in ("GET", "POST"):
        told = rest.send(method, "/services/oauth2/userinfo").json()

        assert told["preferred_username"] == shared_org.credentials["username"]
        assert told["organization_id"] == shared_org.credentials["org_id"]
        assert told["sub"].endswith(f"/id/{told['organization_id']}/{told['user_id']}")
        assert told["urls"]["rest"] == f"{shared_org.url}/services/data/v{{version}}/"


def test_the_identity_url_names_them_too(shared_org: SimulatorProcess, rest: RestClient) -> None:
    user_id = rest.send("GET", "/services/oauth2/userinfo").json()["user_id"]
    org_id = shared_org.credentials["org_id"]

    by_header = rest.send("GET", f"/id/{org_id}/{user_id}").json()
    by_query = rest.send(
        "GET", f"/id/{org_id[:15]}/{user_id[:15]}", token="", oauth_token=rest.token, format="json"
    ).json()

    assert by_header["username"] == shared_org.credentials["username"]
    assert by_header["id"] == f"{shared_org.url}/id/{org_id}/{user_id}"
    assert by_query["id"] == by_header["id"]


@pytest.mark.parametrize(
    ("path", "token", "status", "text"),
    [
        ("/services/oauth2/userinfo", "", 403, "Missing_OAuth_Token"),
        ("/services/oauth2/userinfo", "x", 403, "Bad_OAuth_Token"),
        ("/id/{org}/{user}", "x", 403, "Bad_OAuth_Token"),
        ("/id/00D000000000001AAA/{user}", None, 403, "Wrong_Org"),
        ("/id/{org}/005000000000001AAA", None, 404, "Bad_Id"),
    ],
)
def test_identity_is_refused_in_plain_text(
    shared_org: SimulatorProcess,
    rest: RestClient,
    path: str,
    token: str | None,
    status: int,
    text: str,
) -> None:
    user_id = rest.send("GET", "/services/oauth2/userinfo").json()["user_id"]
    org_id = shared_org.credentials["org_id"]

    response = rest.send("GET", path.format(org=org_id, user=user_id), token=token)

    assert (response.status_code, response.text) == (status, text)


def revoke(org: SimulatorProcess, token: str, *, by_query: bool = False) -> tuple[int, str]:
    url = f"{org.url}/services/oauth2/revoke"
    answer = (
        org.http.get(url, params={"token": token}, timeout=PATIENCE_SECONDS)
        if by_query
        else org.http.post(url, data={"token": token}, timeout=PATIENCE_SECONDS)
    )
    return answer.status_code, answer.text


@pytest.mark.parametrize("by_query", [False, True])
def test_a_revoked_access_token_ends_alone(
    shared_org: SimulatorProcess, rest: RestClient, by_query: bool
) -> None:
    other = rest.log_in()

    assert revoke(shared_org, rest.token, by_query=by_query) == (200, "")

    assert rest.send("GET", "limits").status_code == 401
    assert rest.send("GET", "limits", token=other).status_code == 200
    status, text = revoke(shared_org, rest.token)
    assert (status, parse_qs(text)["error"]) == (400, ["invalid_token"])


def test_a_revoked_refresh_token_takes_the_access_tokens_with_it(org: SimulatorProcess) -> None:
    rest = RestClient(org)
    refresh_token = org.credentials["refresh_token"]

    assert revoke(org, refresh_token) == (200, "")

    assert rest.send("GET", "limits").status_code == 401
    refused = org.http.post(
        f"{org.url}/services/oauth2/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": org.credentials["client_id"],
            "client_secret": org.credentials["client_secret"],
        },
        timeout=PATIENCE_SECONDS,
    )
    assert refused.json()["error_description"] == "expired access/refresh token"
