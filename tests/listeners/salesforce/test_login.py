from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

import pytest

from listeners.salesforce.auth.endpoint import CredentialBearer, OAuthOptions
from listeners.salesforce.auth.oauth import ClientCredentials, Password, RefreshToken
from listeners.salesforce.errors import LoginRefused, LoginUnavailable, Reaction
from listeners.salesforce.tokens.tokens import Grant, LoginResult
from tests.listeners.salesforce.messages import token_answer
from tests.listeners.salesforce.scripted import (
    SECRET,
    TOKEN_PATH,
    Reply,
    ScriptedOrg,
    of_json,
    plain_http,
)

ID = "the-client"
PATIENT = OAuthOptions(timeout=(60, 60))
IN_HEADER = OAuthOptions(bearer=CredentialBearer.AUTH_HEADER)
GRANTS: dict[str, type[Any]] = {
    "client_credentials": ClientCredentials,
    "password": Password,
    "refresh_token": RefreshToken,
}


def grant(org: ScriptedOrg) -> ClientCredentials:
    return ClientCredentials(
        f"{org.url}{TOKEN_PATH}", ID, SECRET, options=OAuthOptions(timeout=(60, 60))
    )


def login(org: ScriptedOrg, way: Grant | None = None) -> LoginResult:
    return (way or grant(org)).login(plain_http())


def form(org: ScriptedOrg) -> dict[str, str]:
    body = org.calls[0].body.decode("ascii")
    return {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}


@pytest.mark.parametrize(
    ("kind", "own", "sent"),
    [
        ("client_credentials", {}, {}),
        (
            "password",
            {"username": "me@example.com", "password": "pä&ss=+1"},
            {"username": "me@example.com", "password": "pä&ss=+1"},
        ),
        ("refresh_token", {"refresh_token": "5Aep+861=="}, {"refresh_token": "5Aep+861=="}),
    ],
)
def test_each_grant_posts_its_own_form(
    org: ScriptedOrg, kind: str, own: dict[str, str], sent: dict[str, str]
) -> None:
    secrets = {"token_url": f"{org.url}{TOKEN_PATH}", "client_id": ID, "client_secret": SECRET}
    make: Any = GRANTS[kind]

    make(**secrets, **own).login(plain_http())

    client = {"client_id": ID, "client_secret": SECRET}
    assert form(org) == {"grant_type": kind, **client, **sent}
    assert "Authorization" not in org.calls[0].headers


def test_client_id_and_secret_can_travel_in_the_header(org: ScriptedOrg) -> None:
    url = f"{org.url}{TOKEN_PATH}"

    login(
        org,
        ClientCredentials(url, ID, "sécret", options=IN_HEADER),
    )

    expected = base64.b64encode(f"{ID}:sécret".encode()).decode()
    assert org.calls[0].headers["Authorization"] == f"Basic {expected}"
    assert form(org) == {"grant_type": "client_credentials"}


def test_the_answer_becomes_a_token(org: ScriptedOrg) -> None:
    org.tell(TOKEN_PATH, token_answer("https://example.my.salesforce.com/", "00D!x.y_z"))

    token = login(org).token

    assert token.access_token == "00D!x.y_z"
    assert token.instance_url == "https://example.my.salesforce.com"
    assert (token.org_id, token.user_id) == ("00D000000000001EAA", "005000000000001AAA")
    assert (token.issued_at, token.scope) == (1712694387000, "api")


def test_what_is_not_needed_may_be_absent_or_strange(org: ScriptedOrg) -> None:
    strange = {"id": "http://[", "issued_at": "soon", "scope": 1, "refresh_token": None}
    org.tell(TOKEN_PATH, {"access_token": "t", "instance_url": "http://127.0.0.1:1", **strange})

    granted = login(org)

    token = granted.token
    assert (token.org_id, token.user_id, token.issued_at, token.scope) == (None,) * 4
    assert granted.refresh_token is None


@pytest.mark.parametrize(
    ("error", "description", "remedy"),
    [
        ("invalid_grant", "authentication failure", "security token"),
        ("invalid_grant", "expired access/refresh token", "Authorize again"),
        ("invalid_grant", "request not supported on this domain", "org's own domain"),
        ("invalid_grant", "no client credentials user enabled", "run-as user"),
        ("invalid_client_id", "client identifier invalid", "Check the client ID"),
        ("invalid_client", "invalid client credentials", "Check the client secret"),
        ("unsupported_grant_type", "grant type not supported", "Allow this OAuth flow"),
        ("something_new", "", "token URL"),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_carries_salesforces_words_and_what_to_do(
    org: ScriptedOrg, error: str, description: str, remedy: str, status: int
) -> None:
    body = {"error": error, "error_description": description}
    org.tell(TOKEN_PATH, of_json(body, status))

    with pytest.raises(LoginRefused) as refusal:
        login(org)

    assert (refusal.value.error, refusal.value.description) == (error, description)
    reason = ": ".join(filter(None, ("login refused", error, description))) + ". "
    assert str(refusal.value).startswith(reason)
    assert remedy in str(refusal.value).removeprefix(reason)
    assert refusal.value.reaction is Reaction.CONFIGURATION


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("invalid_grant", "token request is already being processed"),
        ("invalid_grant", "login rate exceeded"),
        ("unknown_error", "retry your request"),
    ],
)
def test_a_passing_refusal_is_worth_another_try(
    org: ScriptedOrg, error: str, description: str
) -> None:
    org.tell(TOKEN_PATH, of_json({"error": error, "error_description": description}, 400))

    with pytest.raises(LoginUnavailable, match=description) as failure:
        login(org)

    assert failure.value.reaction is Reaction.RETRY


@pytest.mark.parametrize("status", [406, 408, 420, 421, 425, 429, 500, 502, 503])
def test_a_server_error_is_worth_another_try(org: ScriptedOrg, status: int) -> None:
    org.tell(TOKEN_PATH, Reply(b"<html>", status, (("Retry-After", "120"),)))

    with pytest.raises(LoginUnavailable, match=f"HTTP {status}") as failure:
        login(org)

    assert failure.value.retry_after == 120.0


@pytest.mark.parametrize("body", [b"<html>log in here</html>", b"[]", b"\xff", b""])
def test_a_page_that_is_no_token_answer_is_worth_another_try(org: ScriptedOrg, body: bytes) -> None:
    org.tell(TOKEN_PATH, Reply(body))

    with pytest.raises(LoginUnavailable, match="not with a token response"):
        login(org)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"instance_url": "https://x.example"}, "returned no access_token"),
        ({"access_token": "", "instance_url": "https://x.example"}, "returned no access_token"),
        ({"access_token": 1, "instance_url": "https://x.example"}, "returned no access_token"),
        ({"access_token": "hush\r\nX: y", "instance_url": "https://x.example"}, "in a header"),
        ({"access_token": "hush"}, "no usable instance_url"),
        ({"access_token": "hush", "instance_url": "example.com"}, "no usable instance_url"),
        ({"access_token": "hush", "instance_url": "https://u:p@x.example"}, "no usable instance"),
        ({"error": "invalid_grant", "error_description": "authentication failure"}, "security"),
    ],
)
def test_an_answer_without_a_usable_token_is_refused(
    org: ScriptedOrg, body: dict[str, Any], reason: str
) -> None:
    org.tell(TOKEN_PATH, body)

    with pytest.raises(LoginRefused, match=reason) as refusal:
        login(org)

    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_without_an_explanation_points_at_the_token_url(
    org: ScriptedOrg, status: int
) -> None:
    org.tell(TOKEN_PATH, Reply(b"<html>not here</html>", status))

    with pytest.raises(LoginRefused, match=f"HTTP {status}. Check the token URL"):
        login(org)


def test_a_redirect_is_refused_and_the_secret_not_sent_on(org: ScriptedOrg) -> None:
    with ScriptedOrg() as elsewhere:
        org.tell(TOKEN_PATH, Reply(b"", 307, (("Location", f"{elsewhere.url}/x?k=v"),)))

        with pytest.raises(LoginRefused, match=r"redirects to 127\.0\.0\.1:\d+\. Correct"):
            login(org)

        assert elsewhere.calls == []


@pytest.mark.parametrize("url", ["", "example.com", "ftp://x.example", "http://[", "http://:80"])
def test_a_token_url_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(LoginRefused, match="not an http"):
        Password(url, ID, SECRET, "me", "pass").login(plain_http())


def test_a_host_that_does_not_listen_is_worth_another_try() -> None:
    with ScriptedOrg() as gone:
        way = grant(gone)

    with pytest.raises(LoginUnavailable, match="cannot be reached"):
        way.login(plain_http())


def test_a_host_that_does_not_exist_is_worth_another_try() -> None:
    url = "https://salesforce.invalid/services/oauth2/token"

    with pytest.raises(LoginUnavailable, match=r"salesforce\.invalid"):
        ClientCredentials(url, ID, SECRET, options=PATIENT).login(plain_http())


def test_a_host_that_does_not_answer_is_worth_another_try(org: ScriptedOrg) -> None:
    org.hold(TOKEN_PATH)
    way = ClientCredentials(
        f"{org.url}{TOKEN_PATH}", ID, SECRET, options=OAuthOptions(timeout=(5, 0.1))
    )

    with pytest.raises(LoginUnavailable, match=r"sent nothing for 0\.1 s"):
        way.login(plain_http())


def test_a_rotated_refresh_token_comes_with_the_answer(org: ScriptedOrg) -> None:
    way = RefreshToken(f"{org.url}{TOKEN_PATH}", ID, SECRET, "old")
    org.tell(TOKEN_PATH, token_answer(org.url, "t", refresh_token="new"))

    granted = login(org, way)

    assert granted.refresh_token == "new"
    assert way.with_refresh_token("new").refresh_token == "new"


def test_a_refresh_token_returned_unchanged_is_no_rotation(org: ScriptedOrg) -> None:
    way = RefreshToken(f"{org.url}{TOKEN_PATH}", ID, SECRET, "same")
    org.tell(TOKEN_PATH, token_answer(org.url, "t", refresh_token="same"))

    assert login(org, way).refresh_token is None
