"""A listener's settings determine its channel, start position, API version and session timeout."""

from __future__ import annotations

from typing import Any

import pytest

from listeners.connections.handler_clients import client_for
from listeners.models import Position
from listeners.salesforce.errors import Reaction, StreamRefused, TransportFailed
from tests.listeners.salesforce.messages import CONNECT, HANDSHAKE, SUBSCRIBE, refused
from tests.listeners.salesforce.scripted import Call, Reply, ScriptedOrg, of_json
from tests.servers import wait_for
from tests.settings_on_the_wire.orgs import paths
from tests.settings_on_the_wire.stored import failures, listening, stored, stream_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

CHANNELS = [f"/data/{name}ChangeEvent" for name in ("Account", "Contact", "Lead", "Case")]
LOST = (
    "400::The replayId {1} you provided was invalid.  Please provide a valid ID, "
    "-2 to replay all events, or -1 to replay only new events."
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ForgetfulOrg(ScriptedOrg):
    """An org that no longer knows replay id 1."""

    def reply(self, call: Call) -> Reply:
        if self.asks_for_it(call):
            self.calls.append(call)
            return of_json([refused(SUBSCRIBE, LOST)])
        return super().reply(call)

    @staticmethod
    def asks_for_it(call: Call) -> bool:
        if not call.path.startswith("/cometd/") or call.channels != [SUBSCRIBE]:
            return False
        return 1 in call.messages[0]["ext"]["replay"].values()


def replays(org: ScriptedOrg) -> dict[str, list[Any]]:
    """Return the replay ids that were sent for each channel, in order."""
    sent: dict[str, list[Any]] = {}
    for call in org.asked(SUBSCRIBE):
        for message in call.messages:
            [(channel, replay)] = message["ext"]["replay"].items()
            assert message["subscription"] == channel
            sent.setdefault(channel, []).append(replay)
    return sent


# From where, and which


def test_each_enabled_listener_subscribes_its_channel_from_where_it_is_to_begin(
    scripted: ScriptedOrg, processes: Any
) -> None:
    connection = stored(scripted)
    listening(connection, channel=CHANNELS[-1], enabled=False)
    for channel, replay_from in zip(CHANNELS, ("tip", "earliest", "37904280"), strict=False):
        listening(connection, channel=channel, replay_from=replay_from)

    process = processes.listener()

    expected = {CHANNELS[0]: [-1], CHANNELS[1]: [-2], CHANNELS[2]: [37904280]}
    wait_for(lambda: len(replays(scripted)) == 3)
    process.terminate()
    assert replays(scripted) == expected


def test_a_stored_position_outranks_replay_from(scripted: ScriptedOrg, processes: Any) -> None:
    listener = listening(stored(scripted), channel=CHANNELS[0], replay_from="earliest")
    Position.objects.update_or_create(listener=listener, defaults={"replay_id": "4711"})

    processes.listener()

    assert wait_for(lambda: replays(scripted)) == {CHANNELS[0]: [4711]}


def test_a_position_that_is_lost_is_left_as_the_policy_says(processes: Any) -> None:
    with ForgetfulOrg() as org:
        connection = stored(org)
        for channel, policy in zip(CHANNELS, ("earliest", "tip", "stop"), strict=False):
            listening(connection, channel=channel, replay_from="1", on_replay_lost=policy)

        process = processes.listener()

        wait_for(lambda: len(org.asked(SUBSCRIBE)) == 5)
        wait_for(lambda: Position.objects.filter(state="failed").count() == 1)
        process.terminate()
        assert replays(org) == {CHANNELS[0]: [1, -2], CHANNELS[1]: [1, -1], CHANNELS[2]: [1]}


@pytest.mark.parametrize(
    ("given", "subscribed"),
    [
        ("ChangeEvents", "/data/ChangeEvents"),
        ("AccountChangeEvent", "/data/AccountChangeEvent"),
        ("/data/AccountChangeEvent/", "/data/AccountChangeEvent"),
        ("data/Employee__ChangeEvent", "/data/Employee__ChangeEvent"),
        ("Sales__chn", "/data/Sales__chn"),
    ],
)
def test_a_channel_is_subscribed_by_its_full_name(
    scripted: ScriptedOrg, given: str, subscribed: str
) -> None:
    with stream_of(listening(stored(scripted), channel=given)) as stream:
        stream.open("-2")

    assert replays(scripted) == {subscribed: [-2]}


def test_the_transport_cometd_is_long_polling_of_the_streaming_api(scripted: ScriptedOrg) -> None:
    with stream_of(listening(stored(scripted), transport="cometd")) as stream:
        stream.open("-1")

    [handshake] = scripted.asked(HANDSHAKE)
    [connect] = scripted.asked(CONNECT)
    assert handshake.path.startswith("/cometd/")
    assert handshake.messages[0]["supportedConnectionTypes"] == ["long-polling"]
    assert connect.messages[0]["connectionType"] == "long-polling"


# In which version


@pytest.mark.parametrize("api_version", ["60.0", "67.0"])
def test_requests_name_the_api_version(org: SimulatorProcess, api_version: str) -> None:
    listener = listening(stored(org), api_version=api_version)
    with stream_of(listener) as stream:
        stream.open("-1")
        stream.poll()

        client_for(listener).limits()

    assert set(paths(org)) == {f"/cometd/{api_version}", f"/services/data/v{api_version}/limits/"}


def test_a_check_tries_each_listener_in_its_own_version(org: SimulatorProcess) -> None:
    connection = stored(org)
    versions = ("60.0", "66.0")
    listeners = [listening(connection, api_version=version) for version in versions]

    assert failures(connection, *listeners) == []

    asked = dict.fromkeys(path for path in paths(org) if path.startswith("/cometd/"))
    assert list(asked) == ["/cometd/60.0", "/cometd/66.0"]


def test_a_version_that_the_org_does_not_serve_is_not_tried(org: SimulatorProcess) -> None:
    connection = stored(org)
    listener = listening(connection, api_version="99.0")

    [reason] = failures(connection, listener)

    assert "the org does not serve API version 99.0" in reason
    assert not any(path.startswith("/cometd/") for path in paths(org))


# When it is thrown away


@pytest.mark.parametrize(("idle", "is_resumed"), [(59, True), (61, False)])
def test_a_session_that_was_idle_for_longer_is_not_resumed(
    org: SimulatorProcess, idle: float, *, is_resumed: bool
) -> None:
    clock = Clock()
    with stream_of(listening(stored(org), session_timeout=60), monotonic=clock) as stream:
        stream.open("-1")
        asked_to_open = len(paths(org))
        clock.now += idle

        if is_resumed:
            stream.poll()
        else:
            with pytest.raises(StreamRefused, match="more than session_timeout") as refusal:
                stream.poll()
            assert refusal.value.reaction is Reaction.REHANDSHAKE

        assert stream.is_open is is_resumed
        assert len(paths(org)) == asked_to_open + is_resumed


def test_in_its_place_one_is_opened_from_a_handshake_on(scripted: ScriptedOrg) -> None:
    clock = Clock()
    listener = listening(stored(scripted), session_timeout=60)
    with stream_of(listener, monotonic=clock) as stream:
        stream.open("-1")
        clock.now += 61
        with pytest.raises(StreamRefused):
            stream.poll()

        stream.open("4711")

    opened = [HANDSHAKE, CONNECT, SUBSCRIBE]
    channels = [channel for call in scripted.calls[1:] for channel in call.channels]
    assert channels[:6] == opened * 2
    assert replays(scripted) == {"/data/ChangeEvents": [-1, 4711]}


def test_a_poll_that_is_silent_for_longer_is_given_up(org: SimulatorProcess) -> None:
    listener = listening(stored(org), session_timeout=0.4, read_timeout=20)

    with stream_of(listener, monotonic=Clock()) as stream:  # no time passes before the poll
        stream.open("-1")
        org.fault("stall", channel="/meta/connect", seconds=60)
        with pytest.raises(TransportFailed, match=r"sent nothing for 0\.4 s"):
            stream.poll()

        assert not stream.is_open
