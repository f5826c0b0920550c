from __future__ import annotations

import json
from typing import Any

import pytest

from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import (
    MalformedAnswer,
    Reaction,
    StreamRefused,
)
from tests.listeners.salesforce.messages import CONNECT, HANDSHAKE, SUBSCRIBE, accepted, change
from tests.listeners.salesforce.scripted import FIRST_CONNECT, Reply, ScriptedOrg, of_json


def opened(org: ScriptedOrg, replay: str = "-2") -> CometdStream:
    stream = org.stream()
    stream.open(replay)
    return stream


def replay_ids(messages: list[Any]) -> list[int]:
    return [message["data"]["event"]["replayId"] for message in messages]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[{",
        b"<html>proxy</html>",
        b"{}",
        b"null",
        b"[1]",
        b'["\xff"]',
        b"[" * 200_000,
        b"[" + b"9" * 5000 + b"]",
        b'[{"channel": "/meta/subscribe", "successful": true}]',
    ],
    ids=range(10),
)
def test_an_answer_that_is_no_array_of_messages_is_kept_whole(
    org: ScriptedOrg, body: bytes
) -> None:
    org.tell(CONNECT, Reply(body))
    stream = opened(org)

    with pytest.raises(MalformedAnswer) as malformed:
        stream.poll()

    assert malformed.value.raw == body.decode(errors="backslashreplace")
    assert malformed.value.reaction is Reaction.REHANDSHAKE
    assert malformed.value.__context__ is None
    assert not stream.is_open


def test_an_empty_array_is_a_sign_of_life(org: ScriptedOrg) -> None:
    org.tell(CONNECT, Reply(b"[]"), [change(1), accepted(CONNECT)])
    stream = opened(org)

    assert stream.poll() == []
    assert replay_ids(stream.poll()) == [1]


def test_a_message_without_its_array_is_taken(org: ScriptedOrg) -> None:
    org.tell(CONNECT, Reply(json.dumps(accepted(CONNECT)).encode()))
    stream = opened(org)

    assert stream.poll() == []
    assert stream.is_open


def test_a_page_in_place_of_an_answer_opens_the_stream_again(org: ScriptedOrg) -> None:
    org.tell(CONNECT, Reply(b"<html>not found</html>", 404))
    stream = opened(org)

    with pytest.raises(StreamRefused) as refused:
        stream.poll()

    assert refused.value.reaction is Reaction.REHANDSHAKE


def test_a_refusal_that_says_nothing_is_judged_by_its_status(org: ScriptedOrg) -> None:
    org.tell(CONNECT, Reply(b'[{"channel": "/meta/connect", "successful": false}]', 401))
    stream = opened(org)

    with pytest.raises(StreamRefused) as refused:
        stream.poll()

    assert refused.value.reaction is Reaction.NEW_TOKEN


def test_a_refusal_beside_events_is_news_after_them(org: ScriptedOrg) -> None:
    limit = "403::Organization total events daily limit exceeded"
    org.tell(CONNECT, [change(1), {"channel": CONNECT, "successful": False, "error": limit}])
    stream = opened(org)

    assert replay_ids(stream.poll()) == [1]
    assert (stream.is_open, stream.has_result_ready) == (False, True)
    with pytest.raises(StreamRefused) as refused:
        stream.poll()

    assert refused.value.reaction is Reaction.QUOTA
    assert not stream.has_result_ready


def test_a_handshake_without_a_client_id_is_malformed(org: ScriptedOrg) -> None:
    org.tell(HANDSHAKE, [{"channel": HANDSHAKE, "successful": True}])

    with pytest.raises(MalformedAnswer, match="clientId"):
        opened(org)


def test_values_that_are_no_json_pass_through_to_the_decoder(org: ScriptedOrg) -> None:
    body = json.dumps([change(1, Amount=float("nan")), accepted(CONNECT)]).encode()
    org.tell(CONNECT, Reply(body))

    assert len(opened(org).poll()) == 1


def test_an_answer_of_more_than_ten_megabytes_is_taken(org: ScriptedOrg) -> None:
    large = "x" * 1_000_000
    org.tell(CONNECT, [*(change(n, Description=large) for n in range(12)), accepted(CONNECT)])

    messages = opened(org).poll()

    assert replay_ids(messages) == list(range(12))
    assert {message["data"]["payload"]["Description"] for message in messages} == {large}


def test_cookies_go_back_exactly_as_they_came(org: ScriptedOrg) -> None:
    quoted, plain = 'BAYEUX_BROWSER="abc+/=%20{1}"', "sfdc-stream=!fAkE+/value=="
    cookies = (
        ("Set-Cookie", f"{quoted}; Path=/cometd/; Secure; HttpOnly"),
        ("Set-Cookie", f"{plain}; Domain=.example.com; Expires=Fri, 31 Dec 2100 23:59:59 GMT"),
    )
    org.tell(HANDSHAKE, of_json([accepted(HANDSHAKE)], 200, *cookies))
    org.tell(FIRST_CONNECT, of_json([accepted(CONNECT)], 200, ("Set-Cookie", "late=a b; Path=/")))
    org.tell(CONNECT, [accepted(CONNECT)])

    opened(org).poll()

    sent = [call.headers.get("Cookie") for call in org.asked("/cometd/67.0")]
    assert sent == [
        None,
        f"{quoted}; {plain}",
        f"{quoted}; {plain}; late=a b",
        f"{quoted}; {plain}; late=a b",
    ]


def test_a_new_session_starts_without_the_cookies_of_the_last(org: ScriptedOrg) -> None:
    org.tell(HANDSHAKE, of_json([accepted(HANDSHAKE)], 200, ("Set-Cookie", "sfdc-stream=old")))
    stream = opened(org)

    stream.open("5")

    assert "Cookie" not in org.asked(HANDSHAKE)[-1].headers


def test_a_request_past_the_limit_is_never_sent(org: ScriptedOrg) -> None:
    stream = org.stream(channel="/data/" + "x" * 33_000)

    with pytest.raises(StreamRefused, match="the maximum is 32768") as refusal:
        stream.open("-1")

    assert refusal.value.reaction is Reaction.CONFIGURATION
    assert org.asked(SUBSCRIBE) == []
    stream.close()
    assert max(len(call.body) for call in org.calls) <= 32_768
