"""The settings of expiry and refreshing decide how long a token is used and what renews it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from listeners.connections.token_sources import token_source
from listeners.models import Connection
from tests.kinds_of_login import KINDS_WITH_A_LOGIN
from tests.listeners.salesforce.messages import token_answer
from tests.listeners.salesforce.scripted import ScriptedOrg
from tests.servers import wait_for
from tests.settings_on_the_wire.orgs import TOKEN_PATH, bearers, grant_types
from tests.settings_on_the_wire.stored import listening, poll_until, stored, stream_of
from tests.settings_on_the_wire.test_logins import form_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

POLLS = 5


def renew(connection: Connection) -> None:
    """Log in, and again after Salesforce has refused that token."""
    source = token_source(connection)
    source.invalidate(source.get())
    source.get()


def has_used(org: SimulatorProcess, tokens: int) -> bool:
    return len(bearers(org)) == tokens


# Expiry


@pytest.mark.parametrize(
    "short",
    [{"default_token_exp_time": 1}, {"clock_skew": 3599}],
    ids=lambda short: next(iter(short)),
)
def test_a_token_near_its_end_is_renewed_and_the_stream_keeps_its_session(
    org: SimulatorProcess, short: dict[str, Any]
) -> None:
    with stream_of(listening(stored(org, **short))) as stream:
        stream.open("-1")
        first = [session["client_id"] for session in org.state()["sessions"]]

        poll_until(stream, lambda: len(bearers(org)) == 3)

        assert len(bearers(org)) == 3
        assert [session["client_id"] for session in org.state()["sessions"]] == first
        assert stream.is_open


def test_a_token_far_from_its_end_is_used_again(org: SimulatorProcess) -> None:
    with stream_of(listening(stored(org))) as stream:
        stream.open("-1")
        for _ in range(POLLS):
            stream.poll()

    assert len(bearers(org)) == len(grant_types(org)) == 1


def test_a_token_is_renewed_before_salesforce_ends_it() -> None:
    with (
        SimulatorProcess("--session-seconds", "90", "--connect-timeout", "0.3") as org,
        stream_of(listening(stored(org, default_token_exp_time=1))) as stream,
    ):
        stream.open("-1")

        # The first one is past its end when the last comes; a refusal would be raised.
        for count in range(2, 7):
            org.advance(20)
            poll_until(stream, partial(has_used, org, count))

        assert len(bearers(org)) == 6
        assert len(org.state()["sessions"]) == 1


# Refreshing


@pytest.mark.parametrize(
    ("refresh_config", "renewed_by"), [(None, "password"), ({}, "refresh_token")]
)
def test_a_password_login_is_renewed_as_refresh_config_says(
    org: SimulatorProcess, refresh_config: dict[str, Any] | None, renewed_by: str
) -> None:
    renew(stored(org, "password", refresh_config=refresh_config))

    first, second = org.token_requests()
    assert (first["grant_type"], second["grant_type"]) == ("password", renewed_by)
    assert second["outcome"] == "ok"
    assert second["form"]["client_id"] == org.credentials["client_id"]
    assert ("password" in second["form"]) is (renewed_by == "password")


def test_a_password_login_without_a_refresh_token_in_its_answer_logs_in_again() -> None:
    with SimulatorProcess() as org:
        renew(stored(org, "password", refresh_config={}))

        assert grant_types(org) == ["password", "password"]


@pytest.mark.parametrize(
    ("config", "path"),
    [({}, "/my/token"), ({"refresh_url": "{url}/my/refresh"}, "/my/refresh")],
)
def test_a_refresh_goes_to_its_own_url_or_else_to_that_of_the_login(
    scripted: ScriptedOrg, config: dict[str, str], path: str
) -> None:
    config = {name: value.format(url=scripted.url) for name, value in config.items()}
    given = token_answer(scripted.url, "first", refresh_token="given")
    scripted.tell("/my/token", given, token_answer(scripted.url, "second"))
    scripted.tell("/my/refresh", token_answer(scripted.url, "second"))
    token_url = f"{scripted.url}/my/token"

    renew(stored(scripted, "password", token_url=token_url, refresh_config=config))

    login, refresh = scripted.calls
    assert (login.path, refresh.path) == ("/my/token", path)
    assert form_of(refresh)["refresh_token"] == "given"


@pytest.mark.parametrize(
    ("own", "scope"), [({}, "api refresh_token"), ({"scopes": ["api"]}, "api")]
)
def test_a_refresh_asks_for_its_own_scopes_or_else_for_those_of_the_login(
    org: SimulatorProcess, own: dict[str, Any], scope: str
) -> None:
    renew(stored(org, "password", scopes=["api", "refresh_token"], refresh_config=own))

    login, refresh = org.token_requests()
    assert login["form"]["scope"] == "api refresh_token"
    assert refresh["form"]["scope"] == scope


def test_a_refresh_has_optional_params_of_its_own(
    org: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT_KEY", "from the environment")
    own = {"optional_params": {"tenant_key": "env:TENANT_KEY"}}

    renew(stored(org, "password", optional_params={"prompt": "login"}, refresh_config=own))

    login, refresh = org.token_requests()
    assert login["form"]["prompt"] == "login"
    assert "prompt" not in refresh["form"]
    assert refresh["form"]["tenant_key"] == "from the environment"


def test_a_refresh_has_a_credential_bearer_of_its_own(org: SimulatorProcess) -> None:
    own = {"credential_bearer": "auth_header"}

    renew(stored(org, "password", refresh_config=own))

    assert [login["credential_bearer"] for login in org.token_requests()] == ["body", "basic"]


def test_a_refresh_has_headers_and_a_payload_of_its_own(org: SimulatorProcess) -> None:
    own = {"client_config": {"custom_headers": {"X-Way": "refresh"}, "custom_payload": "a=b+c"}}
    of_login = {"custom_headers": {"X-Way": "login"}}

    renew(stored(org, "password", client_config=of_login, refresh_config=own))

    login, refresh = org.token_requests()
    assert (login["headers"]["X-Way"], refresh["headers"]["X-Way"]) == ("login", "refresh")
    assert refresh["form"]["a"] == "b c"
    assert "a" not in login["form"]


def test_a_refresh_has_an_http_version_of_its_own(org: SimulatorProcess) -> None:
    own = {"client_config": {"http_version": "1.0"}}

    renew(stored(org, "password", refresh_config=own))

    assert [login["http_version"] for login in org.token_requests()] == ["1.1", "1.0"]


def test_a_refresh_waits_as_long_as_its_own_time_out_says(org: SimulatorProcess) -> None:
    own = {"client_config": {"read_timeout": 3}}
    source = token_source(stored(org, "password", refresh_config=own))
    source.invalidate(source.get())
    org.fault("stall", target="token", seconds=60)

    with pytest.raises(Exception, match="sent nothing for 3 s"):
        source.get()

    assert grant_types(org) == ["password", "refresh_token"]


@pytest.mark.parametrize("auth", KINDS_WITH_A_LOGIN)
def test_each_kind_is_renewed_by_itself(org: SimulatorProcess, auth: str) -> None:
    renew(stored(org, auth))

    first, second = grant_types(org)
    assert first == second


def test_a_token_of_an_answer_with_its_own_end_is_renewed_by_that(scripted: ScriptedOrg) -> None:
    scripted.tell(TOKEN_PATH, token_answer(scripted.url, "short", expires_in=1))
    source = token_source(stored(scripted))

    assert source.get().access_token == "short"

    assert wait_for(lambda: source.get().access_token == "token-1")
