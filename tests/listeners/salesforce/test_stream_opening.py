from __future__ import annotations

from typing import Any

import pytest

from listeners.salesforce.errors import (
    LoginRefused,
    Reaction,
    ReplayLost,
    StreamClosed,
    StreamRefused,
    TransportFailed,
)
from tests.listeners.salesforce.messages import (
    CLIENT_ID,
    CONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    accepted,
    change,
    refused,
)
from tests.listeners.salesforce.scripted import (
    FIRST_CONNECT,
    TOKEN_PATH,
    Reply,
    ScriptedOrg,
    of_json,
)

DENIED = refused(HANDSHAKE, "403::Handshake denied", "401::Authentication invalid", "none")


def test_open_handshakes_connects_and_subscribes_in_this_order(org: ScriptedOrg) -> None:
    stream = org.stream()

    stream.open("-1")

    assert [call.path for call in org.calls] == [TOKEN_PATH] + ["/cometd/67.0"] * 3
    assert [call.channels for call in org.calls[1:]] == [[HANDSHAKE], [CONNECT], [SUBSCRIBE]]
    handshake, connect, subscribe = (call.messages[0] for call in org.calls[1:])
    assert handshake["ext"] == {"replay": True}
    assert handshake["supportedConnectionTypes"] == ["long-polling"]
    assert connect["connectionType"] == "long-polling"
    assert {connect["clientId"], subscribe["clientId"]} == {CLIENT_ID}
    assert len({handshake["id"], connect["id"], subscribe["id"]}) == 3
    assert org.calls[1].headers["Authorization"] == "Bearer token-1"
    assert stream.is_open
    assert stream.subscribed_at is not None
    assert stream.last_answer_at is not None


@pytest.mark.parametrize(
    ("replay", "sent"),
    [("-1", -1), ("-2", -2), ("37904280", 37904280), ("9" * 30, int("9" * 30)), ("007", "007")],
)
def test_the_replay_map_has_the_channel_as_key_and_the_position_unchanged(
    org: ScriptedOrg, replay: str, sent: int | str
) -> None:
    org.stream(channel="/data/Employee__ChangeEvent").open(replay)

    subscribe = org.asked(SUBSCRIBE)[0].messages[0]
    assert subscribe["subscription"] == "/data/Employee__ChangeEvent"
    assert subscribe["ext"] == {"replay": {"/data/Employee__ChangeEvent": sent}}


def test_a_refused_token_is_replaced_once_and_the_handshake_repeated(org: ScriptedOrg) -> None:
    org.tell(HANDSHAKE, [DENIED])
    stream = org.stream()

    stream.open("-1")

    assert stream.is_open
    assert len(org.asked(TOKEN_PATH)) == 2
    tokens = [call.headers["Authorization"] for call in org.asked(HANDSHAKE)]
    assert tokens == ["Bearer token-1", "Bearer token-2"]


def test_a_token_refused_twice_is_not_tried_a_third_time(org: ScriptedOrg) -> None:
    org.tell(HANDSHAKE, [DENIED], [DENIED])
    stream = org.stream()

    with pytest.raises(StreamRefused) as refusal:
        stream.open("-1")

    assert refusal.value.reaction is Reaction.BACK_OFF_LONG
    assert refusal.value.failure_reason == "401::Authentication invalid"
    assert len(org.asked(TOKEN_PATH)) == 2
    assert not stream.is_open


def test_an_http_401_counts_as_a_refused_token(org: ScriptedOrg) -> None:
    expired = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    org.tell(SUBSCRIBE, of_json(expired, 401))
    stream = org.stream()

    stream.open("-1")

    assert stream.is_open
    assert len(org.asked(TOKEN_PATH)) == 2


def test_a_refused_login_is_raised_as_it_is(org: ScriptedOrg) -> None:
    body = {"error": "invalid_client_id", "error_description": "client identifier invalid"}
    org.tell(TOKEN_PATH, of_json(body, 400))

    with pytest.raises(LoginRefused, match="client identifier invalid"):
        org.stream().open("-1")

    assert org.asked(HANDSHAKE) == []


def test_a_position_that_is_no_longer_valid_raises_replay_lost(org: ScriptedOrg) -> None:
    error = (
        "400::The replayId {1} you provided was invalid.  Please provide a valid ID, "
        "-2 to replay all events, or -1 to replay only new events."
    )
    org.tell(SUBSCRIBE, [refused(SUBSCRIBE, error)])
    stream = org.stream()

    with pytest.raises(ReplayLost) as refusal:
        stream.open("1")

    assert refusal.value.error == error
    assert refusal.value.what == SUBSCRIBE
    assert not stream.is_open


@pytest.mark.parametrize(
    "error",
    [
        "403::User not allowed to subscribe CDC without View All Data permissions",
        "400::The channel you requested to subscribe to doesn't exist {/data/XChangeEvent}",
    ],
)
def test_a_channel_that_is_not_permitted_or_absent_is_a_configuration_failure(
    org: ScriptedOrg, error: str
) -> None:
    org.tell(SUBSCRIBE, [refused(SUBSCRIBE, error)])

    with pytest.raises(StreamRefused, match="Correct the configuration") as refusal:
        org.stream().open("-1")

    assert refusal.value.reaction is Reaction.CONFIGURATION


def test_a_busy_server_is_not_answered_with_a_new_login(org: ScriptedOrg) -> None:
    reason = "503::Server is too busy.  Please try your request again later."
    org.tell(FIRST_CONNECT, [refused(CONNECT, "401::Authentication invalid", reason, "none")])

    with pytest.raises(StreamRefused) as refusal:
        org.stream().open("-1")

    assert refusal.value.reaction is Reaction.BACK_OFF_LONG
    assert len(org.asked(TOKEN_PATH)) == 1


def test_events_in_the_answers_of_open_come_with_the_first_poll(org: ScriptedOrg) -> None:
    org.tell(FIRST_CONNECT, [change(1), accepted(CONNECT)])
    org.tell(SUBSCRIBE, [accepted(SUBSCRIBE), change(2), change(3)])
    stream = org.stream()
    stream.open("-2")
    connects = len(org.asked(CONNECT))

    messages = stream.poll()

    assert [message["data"]["event"]["replayId"] for message in messages] == [1, 2, 3]
    assert len(org.asked(CONNECT)) == connects


@pytest.mark.parametrize("status", [406, 408, 420, 421, 425, 429])
@pytest.mark.parametrize("channel", [HANDSHAKE, SUBSCRIBE])
def test_a_passing_status_of_the_edge_is_tried_again(
    org: ScriptedOrg, status: int, channel: str
) -> None:
    org.tell(channel, Reply(b"<html>We are setting things up</html>", status))
    stream = org.stream()
    with pytest.raises(TransportFailed, match=f"HTTP {status}") as failure:
        stream.open("-1")

    stream.open("-1")

    assert failure.value.reaction is Reaction.RETRY
    assert stream.is_open


def test_open_can_be_called_again_after_a_failure(org: ScriptedOrg) -> None:
    org.tell(HANDSHAKE, Reply(b"<html>down</html>", 503, (("Retry-After", "7"),)))
    stream = org.stream()
    with pytest.raises(TransportFailed) as failure:
        stream.open("-1")

    stream.open("-1")

    assert (failure.value.status, failure.value.retry_after) == (503, 7.0)
    assert failure.value.reaction is Reaction.RETRY
    assert stream.is_open


def test_a_redirect_is_not_followed(org: ScriptedOrg) -> None:
    with ScriptedOrg() as elsewhere:
        away = Reply(b"", 302, (("Location", f"{elsewhere.url}/cometd/67.0"),))
        org.tell(HANDSHAKE, away, away)

        with pytest.raises(StreamRefused, match="redirect to"):
            org.stream().open("-1")

        assert elsewhere.calls == []


def test_a_port_without_a_server_is_a_failed_transport(org: ScriptedOrg) -> None:
    tokens = org.tokens()
    with ScriptedOrg() as gone:
        from_elsewhere = gone.url
    org.tell(TOKEN_PATH, {"access_token": "token-x", "instance_url": from_elsewhere})

    with pytest.raises(TransportFailed, match="cannot be reached"):
        org.stream(tokens).open("-1")


def test_a_closed_stream_does_not_open_again(org: ScriptedOrg) -> None:
    stream = org.stream()
    stream.close()

    with pytest.raises(StreamClosed):
        stream.open("-1")

    assert org.calls == []


@pytest.mark.parametrize(
    ("status", "reaction"),
    [
        (402, Reaction.REHANDSHAKE),
        (403, Reaction.BACK_OFF_LONG),
        (404, Reaction.CONFIGURATION),
        (409, Reaction.BACK_OFF_LONG),
        (410, Reaction.CONFIGURATION),
        (423, Reaction.BACK_OFF_LONG),
        (413, Reaction.CONFIGURATION),
    ],
)
def test_a_status_without_a_bayeux_answer_is_a_refusal(
    org: ScriptedOrg, status: int, reaction: Reaction
) -> None:
    org.tell(HANDSHAKE, Reply(b"<html>no</html>", status))

    with pytest.raises(StreamRefused, match=f"HTTP {status}") as refusal:
        org.stream().open("-1")

    assert refusal.value.reaction is reaction


def test_a_bayeux_refusal_counts_with_any_status(org: ScriptedOrg) -> None:
    org.tell(SUBSCRIBE, of_json([refused(SUBSCRIBE, "403::Restricted channel")], 403))

    with pytest.raises(StreamRefused, match="Restricted channel") as refusal:
        org.stream().open("-1")

    assert refusal.value.reaction is Reaction.CONFIGURATION


@pytest.mark.parametrize(
    ("ext", "confirms"),
    [({"replay": True}, True), ({"replay": "true"}, False), ({}, False), (None, False), (1, False)],
)
def test_it_is_known_whether_the_server_supports_replay(
    org: ScriptedOrg, ext: Any, confirms: bool
) -> None:
    org.tell(HANDSHAKE, [accepted(HANDSHAKE, ext=ext)])
    stream = org.stream()
    assert not stream.has_replay

    stream.open("-1")

    assert stream.has_replay is confirms
