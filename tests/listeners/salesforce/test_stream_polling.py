from __future__ import annotations

import time
from typing import Any

import pytest

from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import (
    Reaction,
    StreamRefused,
    TransportFailed,
)
from tests.listeners.salesforce.messages import (
    CONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    accepted,
    change,
    refused,
    token_answer,
)
from tests.listeners.salesforce.scripted import (
    FIRST_CONNECT,
    TOKEN_PATH,
    Reply,
    ScriptedOrg,
    of_json,
)


def opened(org: ScriptedOrg, replay: str = "-2") -> CometdStream:
    stream = org.stream()
    stream.open(replay)
    return stream


def replay_ids(messages: list[Any]) -> list[int]:
    return [message["data"]["event"]["replayId"] for message in messages]


def test_poll_returns_the_messages_of_one_answer_in_their_order(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [change(5), change(3), accepted(CONNECT), change(9)])

    assert replay_ids(opened(org).poll()) == [5, 3, 9]


def test_a_token_of_a_letter_is_not_hidden_in_the_changes(org: ScriptedOrg) -> None:
    org.tell(TOKEN_PATH, token_answer(org.url, "d"))
    org.tell(CONNECT, [change(5), accepted(CONNECT)])

    assert opened(org).poll() == [change(5)]


def test_a_mere_acknowledgement_is_an_empty_list(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [accepted(CONNECT)])
    stream = opened(org)

    assert stream.poll() == []
    assert stream.is_open


def test_an_answer_without_the_acknowledgement_still_gives_its_messages(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [change(1)], [change(2), accepted(CONNECT)])
    stream = opened(org)

    assert [replay_ids(stream.poll()), replay_ids(stream.poll())] == [[1], [2]]


def test_a_message_on_an_unexpected_channel_is_not_dropped(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [change(1, "/data/AccountChangeEvent"), {"data": {}}, accepted(CONNECT)])

    assert len(opened(org).poll()) == 2


def test_a_refusal_beside_messages_is_raised_after_them(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [refused(CONNECT, "403::Unknown client", None, "handshake"), change(1)])
    stream = opened(org)

    messages = stream.poll()
    with pytest.raises(StreamRefused) as refusal:
        stream.poll()

    assert replay_ids(messages) == [1]
    assert refusal.value.reaction is Reaction.REHANDSHAKE
    assert not stream.is_open


@pytest.mark.parametrize("error", ["403::Unknown client", "402::Unknown client"])
@pytest.mark.parametrize("reconnect", ["handshake", "none", "retry", None])
def test_an_unknown_client_handshakes_again_with_any_advice(
    org: ScriptedOrg, error: str, reconnect: str | None
) -> None:
    org.tell(CONNECT, [refused(CONNECT, error, None, reconnect)], [change(2), accepted(CONNECT)])
    stream = opened(org)

    with pytest.raises(StreamRefused) as refusal:
        stream.poll()
    assert refusal.value.reaction is Reaction.REHANDSHAKE
    stream.open("1")

    assert replay_ids(stream.poll()) == [2]
    assert org.asked(SUBSCRIBE)[-1].messages[0]["ext"]["replay"] == {"/data/ChangeEvents": 1}
    assert len(org.asked(TOKEN_PATH)) == 1


def test_a_token_refused_in_mid_stream_is_invalidated_once(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [refused(CONNECT, "401::Authentication invalid", None, "none")])
    stream = opened(org)

    with pytest.raises(StreamRefused) as refusal:
        stream.poll()
    stream.open("7")

    assert refusal.value.reaction is Reaction.NEW_TOKEN
    assert len(org.asked(TOKEN_PATH)) == 2
    assert org.asked(HANDSHAKE)[-1].headers["Authorization"] == "Bearer token-2"


def test_a_used_up_daily_limit_says_so(org: ScriptedOrg) -> None:
    org.tell(CONNECT, [refused(CONNECT, "403::Organization total events daily limit exceeded")])

    with pytest.raises(StreamRefused) as refusal:
        opened(org).poll()

    assert refusal.value.reaction is Reaction.QUOTA


@pytest.mark.parametrize("reconnect", ["handshake", "none"])
def test_an_accepted_connect_that_advises_to_leave_ends_the_session(
    org: ScriptedOrg, reconnect: str
) -> None:
    org.tell(CONNECT, [accepted(CONNECT, advice={"reconnect": reconnect})])
    stream = opened(org)

    with pytest.raises(StreamRefused, match=f"advises reconnect {reconnect}"):
        stream.poll()

    assert not stream.is_open


def test_polling_a_stream_that_is_not_open_asks_for_a_handshake(org: ScriptedOrg) -> None:
    with pytest.raises(StreamRefused) as refusal:
        org.stream().poll()

    assert refusal.value.reaction is Reaction.REHANDSHAKE
    assert org.calls == []


@pytest.mark.parametrize("status", [406, 408, 420, 421, 425, 429, 500, 502, 503, 504])
def test_a_failed_poll_is_opened_again_since_its_answer_may_have_held_events(
    org: ScriptedOrg, status: int
) -> None:
    org.tell(CONNECT, Reply(b"oops", status, (("Retry-After", "30"),)))
    stream = opened(org)

    with pytest.raises(TransportFailed) as failure:
        stream.poll()
    assert (failure.value.status, failure.value.retry_after) == (status, 30.0)
    assert not stream.is_open
    with pytest.raises(StreamRefused) as refusal:
        stream.poll()

    assert refusal.value.reaction is Reaction.REHANDSHAKE


def test_a_session_that_started_at_the_tip_is_lost_with_an_answer_too(org: ScriptedOrg) -> None:
    org.tell(CONNECT, Reply(b"", 503), [change(1), accepted(CONNECT)])
    stream = opened(org, "-1")

    with pytest.raises(TransportFailed):
        stream.poll()

    assert not stream.is_open


def test_a_connection_cut_in_the_middle_of_an_answer_loses_the_session(org: ScriptedOrg) -> None:
    org.tell(CONNECT, of_json([change(1), accepted(CONNECT)], missing=40))
    stream = opened(org)

    with pytest.raises(TransportFailed, match="closed the connection"):
        stream.poll()

    assert not stream.is_open


def test_the_advised_interval_is_waited_for_between_connects(org: ScriptedOrg) -> None:
    advice = {"reconnect": "retry", "interval": 300, "timeout": 110000}
    org.tell(CONNECT, [accepted(CONNECT, advice=advice)], [accepted(CONNECT)])
    stream = opened(org)
    before = time.monotonic()
    stream.poll()

    stream.poll()

    assert stream.last_answer_at is not None
    assert stream.last_answer_at - before >= 0.3


def test_an_answer_that_does_not_come_in_time_is_a_failed_transport(org: ScriptedOrg) -> None:
    short = {"reconnect": "retry", "interval": 0, "timeout": 50}
    org.tell(FIRST_CONNECT, [accepted(CONNECT, advice=short)])
    stream = org.stream(read_timeout=0.05)
    stream.open("-2")

    with pytest.raises(TransportFailed, match=r"sent nothing for 0\.1 s"):
        stream.poll()

    assert not stream.is_open


def test_the_servers_clock_is_read_from_its_answers(org: ScriptedOrg) -> None:
    stream = org.stream()
    before = stream.server_time

    stream.open("-1")

    assert before is None
    assert stream.server_time is not None
    assert stream.server_time.utcoffset() is not None
