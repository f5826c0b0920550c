"""Each kind of login sends the configured token request, and reports Salesforce's refusals."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from listeners.connections.token_sources import token_source
from listeners.models import Position
from tests.kinds_of_login import KINDS_WITH_A_LOGIN, OAUTH_KINDS
from tests.listeners.salesforce.messages import HANDSHAKE, token_answer
from tests.listeners.salesforce.scripted import Call, ScriptedOrg
from tests.servers import wait_for
from tests.settings_on_the_wire.orgs import (
    TOKEN_PATH,
    bearers,
    grant_types,
    issue_token,
    only_login,
)
from tests.settings_on_the_wire.stored import (
    failure,
    failures,
    findings,
    listening,
    stored,
    stream_of,
)
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NOWHERE = "http://127.0.0.1:1"


def form_of(call: Call) -> dict[str, str]:
    fields = parse_qs(call.body.decode(), keep_blank_values=True, strict_parsing=True)
    return {name: values[0] for name, values in fields.items()}


def form_at(org: ScriptedOrg, path: str = TOKEN_PATH) -> dict[str, str]:
    [call] = org.asked(path)
    return form_of(call)


# Kinds


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_each_kind_logs_in_in_its_own_way_and_its_token_is_used(
    org: SimulatorProcess, auth: str
) -> None:
    connection = stored(org, auth)

    texts = [found.text for found in findings(connection) if not found.is_failure]

    assert f"login: accepted ({connection.get_auth_display()})" in texts
    assert texts[-1].endswith("channel /data/ChangeEvents: permitted")
    assert grant_types(org) == [JWT if auth == "jwt_bearer" else auth]
    assert len(bearers(org)) == 1


def test_a_bearer_token_is_used_as_it_is_and_no_other_is_asked_for(org: SimulatorProcess) -> None:
    token = issue_token(org)

    found = findings(stored(org, "bearer_token", token=token))

    assert [one.text for one in found if one.is_failure] == []
    assert "login: not needed (Bearer token)" in [one.text for one in found]
    assert bearers(org) == [token]
    assert org.token_requests() == []


def test_a_bearer_token_that_expired_stops_the_listener_which_says_so(
    org: SimulatorProcess, processes: Any
) -> None:
    token = issue_token(org)
    listening(stored(org, "bearer_token", token=token))
    listener = processes.listener()
    listener.wait_for_output("subscribed")

    org.fault("revoke_tokens")

    assert listener.wait() == 3, listener.output
    assert "the bearer token expired or was revoked" in Position.objects.get().reason
    assert bearers(org) == [token]
    assert org.token_requests() == []


# Refusals, in Salesforce's own words


@pytest.mark.parametrize(
    ("auth", "wrong", "words"),
    [
        ("soap", {"password": "wrong"}, "INVALID_LOGIN: Invalid username, password, security"),
        ("soap", {"username": "x@y.z"}, "INVALID_LOGIN: Invalid username, password, security"),
        ("password", {"password": "wrong"}, "invalid_grant: authentication failure"),
        ("password", {"username": "x@y.z"}, "invalid_grant: authentication failure"),
        ("password", {"client_id": "wrong"}, "invalid_client_id: client identifier invalid"),
        ("refresh_token", {"refresh_token": "no"}, "invalid_grant: expired access/refresh token"),
        ("client_credentials", {"client_id": "no"}, "invalid_client_id: client identifier invalid"),
        ("client_credentials", {"client_secret": "no"}, "invalid_client: invalid client cred"),
        ("client_credentials", {"scopes": ["web"]}, "invalid_scope: the requested scope is not"),
        ("jwt_bearer", {"username": "x@y.z"}, "invalid_grant: user hasn't approved this consumer"),
        ("jwt_bearer", {"client_id": "no"}, "invalid_client_id: client identifier invalid"),
        ("jwt_bearer", {"audience": "https://a.example"}, "invalid_grant: audience is invalid"),
    ],
)
def test_a_refused_login_has_salesforces_message_after_one_try(
    org: SimulatorProcess, auth: str, wrong: dict[str, Any], words: str
) -> None:
    reason = failure(stored(org, auth, **wrong))

    assert reason.startswith(f"login refused: {words}")
    assert only_login(org)["outcome"] != "ok"


@pytest.mark.parametrize("auth", ["soap", "password"])
def test_a_locked_user_is_refused_with_the_right_password_too(auth: str) -> None:
    with SimulatorProcess("--lock-after", "1") as org:
        failure(stored(org, auth, password="wrong"))

        reason = failure(stored(org, auth))
        org.unlock()

        assert "authentication failure" in reason or "user locked out" in reason
        assert failures(stored(org, auth)) == []


def test_client_credentials_need_a_user_to_run_as() -> None:
    with SimulatorProcess("--no-client-credentials-user") as org:
        reason = failure(stored(org))

    assert "no client credentials user enabled" in reason
    assert "Name a run-as user" in reason


def test_a_password_needs_no_client_where_the_org_asks_for_none() -> None:
    with SimulatorProcess("--no-client-check") as org:
        assert failures(stored(org, "password", client_id="", client_secret="")) == []

        assert set(only_login(org)["form"]) == {"grant_type", "username", "password"}


# Where


def test_a_token_is_asked_for_at_the_base_url_when_no_token_url_is_set(
    scripted: ScriptedOrg,
) -> None:
    token_source(stored(scripted)).get()

    assert [call.path for call in scripted.calls] == [TOKEN_PATH]


@pytest.mark.parametrize("auth", ["client_credentials", "password"])
def test_a_token_is_asked_for_at_the_token_url(scripted: ScriptedOrg, auth: str) -> None:
    scripted.tell("/my/token", token_answer(scripted.url, "theirs"))
    connection = stored(scripted, auth, base_url=NOWHERE, token_url=f"{scripted.url}/my/token")

    token = token_source(connection).get()

    assert token.access_token == "theirs"
    assert [call.path for call in scripted.calls] == ["/my/token"]


@pytest.mark.parametrize("path", ["", "/my/refresh"])
def test_a_refresh_token_is_exchanged_at_the_refresh_url_or_else_at_the_base_url(
    scripted: ScriptedOrg, path: str
) -> None:
    scripted.tell("/my/refresh", token_answer(scripted.url, "theirs"))
    where = {"base_url": NOWHERE, "refresh_url": f"{scripted.url}{path}"} if path else {}

    token_source(stored(scripted, "refresh_token", **where)).get()

    assert [call.path for call in scripted.calls] == [path or TOKEN_PATH]
    assert form_of(scripted.calls[0])["refresh_token"] == "5Aep861"


@pytest.mark.parametrize("says", [True, False])
def test_requests_go_where_the_answer_says_or_else_to_the_base_url(
    scripted: ScriptedOrg, *, says: bool
) -> None:
    with ScriptedOrg() as login:
        answer = token_answer(scripted.url, "theirs")
        if not says:
            del answer["instance_url"]
        login.tell(TOKEN_PATH, answer)
        base_url = NOWHERE if says else scripted.url
        connection = stored(scripted, base_url=base_url, token_url=f"{login.url}{TOKEN_PATH}")

        with stream_of(listening(connection)) as stream:
            stream.open("-1")

        assert [call.path for call in login.calls] == [TOKEN_PATH]
    assert len(scripted.asked(HANDSHAKE)) == 1


# Contents


def test_the_password_login_sends_username_and_password_as_they_are(scripted: ScriptedOrg) -> None:
    token_source(stored(scripted, "password", username="m&m+1@x.y", password="pä&ss=+ 1")).get()

    form = form_at(scripted)
    assert (form["username"], form["password"]) == ("m&m+1@x.y", "pä&ss=+ 1")


@pytest.mark.parametrize("auth", OAUTH_KINDS)
def test_client_id_and_secret_travel_in_the_body(org: SimulatorProcess, auth: str) -> None:
    token_source(stored(org, auth, credential_bearer="post_body")).get()

    request = only_login(org)
    assert request["credential_bearer"] == "body"
    assert request["form"]["client_id"] == org.credentials["client_id"]
    assert request["form"]["client_secret"] == org.credentials["client_secret"]
    assert "Authorization" not in request["headers"]


@pytest.mark.parametrize("auth", OAUTH_KINDS)
def test_client_id_and_secret_travel_in_a_header(org: SimulatorProcess, auth: str) -> None:
    token_source(stored(org, auth, credential_bearer="auth_header")).get()

    request = only_login(org)
    pair = f"{org.credentials['client_id']}:{org.credentials['client_secret']}"
    assert (
        request["headers"]["Authorization"] == f"Basic {base64.b64encode(pair.encode()).decode()}"
    )
    assert not {"client_id", "client_secret"} & set(request["form"])


def test_scopes_are_asked_for_in_one_field(org: SimulatorProcess) -> None:
    token = token_source(stored(org, scopes=["api", "web"])).get()

    assert only_login(org)["form"]["scope"] == "api web"
    assert token.scope == "api"  # what of it the org grants


def test_no_scopes_are_asked_for_when_none_are_set(org: SimulatorProcess) -> None:
    token = token_source(stored(org)).get()

    assert "scope" not in only_login(org)["form"]
    assert token.scope == "refresh_token api"


def test_optional_params_are_in_the_form_with_their_references_looked_up(
    scripted: ScriptedOrg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TENANT_KEY", "from the environment")
    (tmp_path / "device").write_text("from a file\n")
    params = {
        "prompt": "log in & go",
        "tenant_key": "env:TENANT_KEY",
        "device_token": f"file:{tmp_path}/device",
    }

    token_source(stored(scripted, optional_params=params)).get()

    form = form_at(scripted)
    assert form["prompt"] == "log in & go"
    assert form["tenant_key"] == "from the environment"
    assert form["device_token"] == "from a file"
    assert form["grant_type"] == "client_credentials"


def test_secrets_may_be_references(
    scripted: ScriptedOrg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_APP", "from the environment")
    (tmp_path / "password").write_text("from a file\n")
    connection = stored(
        scripted,
        "password",
        client_secret="env:SECRET_OF_THE_APP",
        password=f"file:{tmp_path}/password",
    )

    token_source(connection).get()

    form = form_at(scripted)
    assert (form["client_secret"], form["password"]) == ("from the environment", "from a file")


def test_a_listener_uses_the_connection_it_is_given(
    org: SimulatorProcess, scripted: ScriptedOrg
) -> None:
    with stream_of(listening(stored(scripted), channel="/data/AccountChangeEvent")) as stream:
        stream.open("-1")

    assert wait_for(lambda: scripted.asked("/meta/disconnect"))
    assert org.api_requests() == org.token_requests() == []
