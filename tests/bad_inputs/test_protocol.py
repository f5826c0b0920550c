"""The protocol core turns every answer of an org into a reply, and raises no unexpected error."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listeners.salesforce.cometd.answers import CONNECT, bayeux_messages, classify
from listeners.salesforce.cometd.protocol import (
    HANDSHAKE,
    SUBSCRIBE,
    BayeuxSession,
    SessionState,
)
from listeners.salesforce.decode import decode
from listeners.salesforce.errors import (
    MalformedAnswer,
    SalesforceError,
    StreamRefused,
    TransportFailed,
    Undecodable,
)
from listeners.salesforce.http.request import Answer
from tests.bad_inputs.corpus import OPTIONAL, REQUIRED, change, changed

pytestmark = pytest.mark.anywhere

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.sampled_from(
    ["/meta/connect", "/meta/handshake", "/meta/subscribe", "/meta/disconnect", "/meta/odd",
     "/data/ChangeEvents", "401::Authentication invalid", "403::Unknown client", "handshake",
     "none", "retry", "400::The replayId {1} you provided was invalid.", "503::Server is too busy"]
)  # fmt: skip
anything = words | values
advice = anything | st.dictionaries(
    st.sampled_from(["reconnect", "interval", "timeout", "hosts"]), anything, max_size=4
)
ext = anything | st.fixed_dictionaries(
    {"sfdc": anything | st.fixed_dictionaries({"failureReason": anything})}
)
bayeux = st.fixed_dictionaries(
    {},
    optional={
        "channel": anything,
        "successful": anything,
        "error": anything,
        "advice": advice,
        "ext": ext,
        "clientId": anything,
        "subscription": anything,
        "data": values,
        "id": anything,
    },
)
answers = st.lists(bayeux, max_size=4)


def opened() -> BayeuxSession:
    session = BayeuxSession("/data/ChangeEvents", "-2")
    for request, channel in (
        (session.handshake, HANDSHAKE),
        (lambda: session.connect(0.0), CONNECT),
        (session.subscribe, SUBSCRIBE),
    ):
        request()
        session.receive([{"channel": channel, "successful": True, "clientId": "c"}], 0.0)
    return session


@given(first=answers, second=answers, third=answers)
@settings(max_examples=150, deadline=None)
def test_no_answer_to_the_opening_breaks_the_session(first, second, third):
    session = BayeuxSession("/data/ChangeEvents", "-2")

    for request, given_answer in (
        (session.handshake, first),
        (lambda: session.connect(0.0), second),
        (session.subscribe, third),
    ):
        json.dumps(request())
        check(session, given_answer)


@given(polls=st.lists(answers, max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_answer_to_a_poll_breaks_the_session_or_drops_a_message(polls):
    session = opened()

    for now, given_answer in enumerate(polls):
        session.connect(float(now))
        check(session, given_answer)
        json.dumps(session.goodbye())
        assert 0 <= session.connect_delay(float(now)) < 60
        assert 0 < session.hold <= 600


def check(session: BayeuxSession, given_answer: list[dict[str, Any]]) -> None:
    reply = session.receive(given_answer, 0.0)
    data = [message for message in given_answer if not is_meta(message)]
    assert list(reply.messages) == data
    assert data or reply.is_accepted or isinstance(reply.failure, SalesforceError)
    assert isinstance(session.state, SessionState)


def is_meta(message: dict[str, Any]) -> bool:
    channel = message.get("channel")
    return isinstance(channel, str) and channel.startswith("/meta/")


@pytest.mark.parametrize("channel", [HANDSHAKE, CONNECT, SUBSCRIBE])
@pytest.mark.parametrize("way", [["none"], {"none": 1}, None, 7, True, "NONE"])
@pytest.mark.parametrize("successful", [True, False, "true"])
def test_advice_that_is_none_is_no_advice(channel, way, successful):
    session = opened()
    session.connect(1.0)
    message = {"channel": channel, "successful": successful, "advice": {"reconnect": way}}

    check(session, [{**message, "clientId": "c"}])


said = st.none() | st.text() | words


@given(
    failure_reason=said,
    error=said,
    advice=st.none() | st.dictionaries(st.just("reconnect"), anything),
)
@settings(max_examples=150, deadline=None)
def test_every_refusal_has_a_reaction(failure_reason, error, advice):
    assert classify(failure_reason, error, advice)


BODIES = [
    b"", b" ", b"{}", b"null", b"7", b"true", b'"text"', b"[", b"[{", b"[{}", b"[1]", b"[null]",
    b"[[]]", b'[{"channel": "/data/x"}', b"<html><body>503</body></html>",
    b"[{}]\x00", b"[{},]", b"{'channel': 1}", b'[{"a": 01}]', b"\xef\xbb\xbf[]x", b"[" * 200_000,
    b'[{"a": "' + b"\xc3\x28" + b'"}]', b'[{"a": "\\ud8"}]', b"[NaN", b"[{}] [{}]", b"HTTP/1.1 200",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_an_answer_that_is_no_array_of_objects_is_called_malformed(body):
    with pytest.raises(MalformedAnswer) as malformed:
        bayeux_messages(Answer(200, {}, (), body), CONNECT)

    assert malformed.value.raw is not None


@given(status=st.integers(100, 599), body=st.binary(max_size=40) | answers.map(json.dumps))
@settings(max_examples=200, deadline=None)
def test_every_http_answer_is_messages_or_a_known_error(status, body):
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else body

    with suppress(MalformedAnswer, TransportFailed, StreamRefused):
        messages = bayeux_messages(Answer(status, {}, (), raw), CONNECT)
        assert all(isinstance(message, dict) for message in messages)


def test_a_number_too_long_for_python_spoils_only_its_own_message():
    long = changed("long", "data.payload.Amount", "HERE").replace('"HERE"', "9" * 5000)
    body = f"[{long}, {json.dumps(change('good'))}]".encode()

    bad, good = bayeux_messages(Answer(200, {}, (), body), CONNECT)

    assert decode(good)[0].replay_id == "37904280"
    with pytest.raises(Undecodable, match=r"Amount is not a finite number"):
        decode(bad)


@given(place=st.sampled_from([*REQUIRED, *OPTIONAL, "data.payload.Name"]), value=values)
@settings(max_examples=300, deadline=None)
def test_no_value_in_any_place_breaks_the_decoder(place, value):
    with suppress(Undecodable):
        events = decode(json.loads(changed("one", place, value)))
        assert all(json.dumps(event.changed_data, allow_nan=False) for event in events)


@pytest.mark.parametrize("preset", [-1, -2, "-1", "-2"])
def test_what_means_where_to_begin_is_no_replay_id_of_an_event(preset):
    with pytest.raises(Undecodable) as flaw:
        decode(json.loads(changed("one", "data.event.replayId", preset)))

    assert (
        flaw.value.reason == f"data.event.replayId is {preset}, which is reserved for subscribing"
    )
    assert flaw.value.replay_id is None


def test_an_identity_that_no_index_takes_is_undecodable():
    message = change("t" * 250)
    message["data"]["payload"]["ChangeEventHeader"]["entityName"] = "e" * 326

    assert decode(message)  # 250 + 326, UPDATE, and an id of 18
    message["data"]["payload"]["ChangeEventHeader"]["entityName"] += "e"
    with pytest.raises(Undecodable, match="more than 600 characters in total"):
        decode(message)


@pytest.mark.parametrize(("depth", "fits"), [(499, True), (500, True), (501, False), (900, False)])
def test_nesting_has_an_end(depth, fits):
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    text = changed("one", "data.payload.Address", value)

    if fits:
        assert decode(json.loads(text))
        return
    with pytest.raises(Undecodable, match=r"Address.* is nested too deeply"):
        decode(json.loads(text))
