"""aiosfstream-ng, an independent client, works against the simulator."""

import asyncio
from typing import Any

import pytest
from aiosfstream_ng.auth import PasswordAuthenticator, RefreshTokenAuthenticator
from aiosfstream_ng.client import Client
from aiosfstream_ng.exceptions import AuthenticationError, ServerError
from aiosfstream_ng.replay import ReplayMarker, ReplayOption

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

ALL = "/data/ChangeEvents"


class LocalPassword(PasswordAuthenticator):
    """Logs in at the simulator with a password."""

    token_url = ""

    @property
    def _token_url(self) -> str:
        return self.token_url


class LocalRefreshToken(RefreshTokenAuthenticator):
    """Logs in at the simulator with a refresh token."""

    token_url = ""

    @property
    def _token_url(self) -> str:
        return self.token_url


def password_login(org: SimulatorProcess, password: str = "") -> LocalPassword:
    authenticator = LocalPassword(
        consumer_key=org.credentials["client_id"],
        consumer_secret=org.credentials["client_secret"],
        username=org.credentials["username"],
        password=password or org.credentials["password"],
    )
    authenticator.token_url = f"{org.url}/services/oauth2/token"
    return authenticator


async def receive(client: Client, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await client.receive() for _ in range(count)]


def headers(messages: list[Any]) -> list[tuple[str, list[str]]]:
    found = [message["data"]["payload"]["ChangeEventHeader"] for message in messages]
    return [(header["changeType"], header["recordIds"]) for header in found]


def test_receives_every_kind_of_change(org: SimulatorProcess) -> None:
    async def scenario() -> list[Any]:
        async with Client(password_login(org)) as client:
            await client.subscribe(ALL)
            ids = await asyncio.to_thread(org.create, "Account", {"Name": "A"}, {"Name": "B"})
            await asyncio.to_thread(org.update, "Account", ids, Phone="1")
            await asyncio.to_thread(org.delete, "Account", ids[0])
            await asyncio.to_thread(org.undelete, "Account", ids[0])
            await asyncio.to_thread(org.gap, "GAP_UPDATE", "Account", ids)
            return [ids, await receive(client, 6)]

    ids, messages = asyncio.run(scenario())

    assert headers(messages) == [
        ("CREATE", [ids[0]]),
        ("CREATE", [ids[1]]),
        ("UPDATE", ids),
        ("DELETE", [ids[0]]),
        ("UNDELETE", [ids[0]]),
        ("GAP_UPDATE", ids),
    ]


def test_replays_from_an_id(org: SimulatorProcess) -> None:
    org.burst(10)
    replay_ids = [event["replay_id"] for event in org.state()["events"]]

    async def scenario() -> list[Any]:
        position = {ALL: ReplayMarker(date="0", replay_id=replay_ids[3])}
        async with Client(password_login(org), replay=position) as client:
            await client.subscribe(ALL)
            return await receive(client, 6)

    messages = asyncio.run(scenario())

    assert [message["data"]["event"]["replayId"] for message in messages] == replay_ids[4:]


def test_replays_everything_retained(org: SimulatorProcess) -> None:
    org.burst(25)

    async def scenario() -> list[Any]:
        async with Client(password_login(org), replay=ReplayOption.ALL_EVENTS) as client:
            await client.subscribe(ALL)
            return await receive(client, 25)

    assert len(asyncio.run(scenario())) == 25


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("drop_sessions", ["before", "before", "after"]),
        ("revoke_tokens", ["before", "after"]),
    ],
)
def test_recovers_from_a_lost_session_or_token(
    org: SimulatorProcess, fault: str, expected: list[str]
) -> None:
    async def scenario() -> list[Any]:
        async with Client(password_login(org), replay=ReplayOption.ALL_EVENTS) as client:
            await client.subscribe(ALL)
            await asyncio.to_thread(org.create, "Account", Name="before")
            before = await receive(client, 1)
            await asyncio.to_thread(org.fault, fault)
            await asyncio.to_thread(org.create, "Account", Name="after")
            return before + await receive(client, len(expected) - 1)

    messages = asyncio.run(scenario())

    assert [message["data"]["payload"]["Name"] for message in messages] == expected


def test_is_refused_with_a_wrong_password(org: SimulatorProcess) -> None:
    async def scenario() -> None:
        async with Client(password_login(org, "wrong")):
            pass

    with pytest.raises(AuthenticationError, match="authentication failure"):
        asyncio.run(scenario())


def test_logs_in_with_a_refresh_token(org: SimulatorProcess) -> None:
    authenticator = LocalRefreshToken(
        consumer_key=org.credentials["client_id"],
        consumer_secret=org.credentials["client_secret"],
        refresh_token=org.credentials["refresh_token"],
    )
    authenticator.token_url = f"{org.url}/services/oauth2/token"

    async def scenario() -> list[Any]:
        async with Client(authenticator) as client:
            await client.subscribe("/data/Employee__ChangeEvent")
            await asyncio.to_thread(org.create, "Employee__c", First_Name__c="Marc")
            return await receive(client, 1)

    [message] = asyncio.run(scenario())

    assert message["channel"] == "/data/Employee__ChangeEvent"


def test_gets_the_error_of_an_unknown_channel(org: SimulatorProcess) -> None:
    async def scenario() -> None:
        async with Client(password_login(org)) as client:
            await client.subscribe("/data/NothingChangeEvent")

    with pytest.raises(ServerError) as caught:
        asyncio.run(scenario())

    assert caught.value.error_code == 400
