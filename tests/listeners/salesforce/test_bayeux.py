"""The Bayeux protocol core, without I/O: no socket, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from listeners.salesforce.cometd.protocol import BayeuxSession, Reply, SessionState
from listeners.salesforce.errors import MalformedAnswer, Reaction, StreamRefused
from tests.listeners.salesforce.messages import (
    CHANNEL,
    CONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    accepted,
    change,
    refused,
)
from tests.listeners.salesforce.scripted import FIRST_CONNECT


def subscribed(replay: str = "-2", **advice: Any) -> BayeuxSession:
    session = BayeuxSession(CHANNEL, replay)
    session.handshake()
    session.receive([accepted(HANDSHAKE)], 0.0)
    session.connect(0.0)
    session.receive([accepted(CONNECT, advice=advice)], 0.0)
    session.subscribe()
    session.receive([accepted(SUBSCRIBE, subscription=CHANNEL)], 0.0)
    return session


def test_a_session_goes_from_new_over_handshaken_to_subscribed() -> None:
    session = BayeuxSession(CHANNEL, "-1")
    states = [session.state]

    session.handshake()
    session.receive([accepted(HANDSHAKE)], 0.0)
    states.append(session.state)
    session.subscribe()
    session.receive([accepted(SUBSCRIBE)], 0.0)
    states.append(session.state)

    assert states == [SessionState.NEW, SessionState.HANDSHAKEN, SessionState.SUBSCRIBED]


def test_the_real_sequence_of_answers_is_understood(sample: Any) -> None:
    meta = sample("meta_messages.json")
    session = BayeuxSession(CHANNEL, "-2")

    handshake = session.handshake()
    replies = [session.receive(meta["handshake_response"], 0.0)]
    connect = session.connect(0.0)
    replies.append(session.receive(meta["first_connect_response"], 0.0))
    subscribe = session.subscribe()
    replies.append(session.receive(meta["subscribe_response"], 0.0))
    session.connect(0.0)
    replies.append(session.receive(meta["later_connect_response"], 110.0))

    assert replies == 4 * [Reply((), None, is_accepted=True)]
    assert session.hold == 110.0
    assert handshake == meta["handshake_request"]
    assert connect[0] | {"advice": None} == meta["connect_request"][0] | {"advice": None}
    assert subscribe[0] | {"id": ""} == meta["subscribe_request"][0] | {"id": ""}


def test_only_the_first_connect_asks_for_an_answer_at_once() -> None:
    session = BayeuxSession(CHANNEL, "-1")

    first, second = session.connect(0.0)[0], session.connect(1.0)[0]

    assert first["advice"] == {"timeout": 0}, FIRST_CONNECT
    assert "advice" not in second


def test_every_request_has_an_id_of_its_own() -> None:
    session = subscribed()

    requests = [*session.connect(0.0), *session.connect(0.0), *session.goodbye()]

    assert len({request["id"] for request in requests}) == 4


def test_messages_come_before_what_became_of_the_connect() -> None:
    session = subscribed()
    session.connect(0.0)
    unknown = refused(CONNECT, "403::Unknown client", None, "handshake")

    reply = session.receive([unknown, change(1)], 1.0)

    assert reply.messages == (change(1),)
    assert isinstance(reply.failure, StreamRefused)
    assert (reply.failure.what, reply.failure.error) == (CONNECT, "403::Unknown client")
    assert reply.failure.reaction is Reaction.REHANDSHAKE
    assert not reply.is_accepted
    assert session.state is SessionState.LOST


def test_a_refusal_that_can_be_retried_keeps_the_session() -> None:
    session = subscribed()
    session.connect(0.0)

    reply = session.receive([refused(CONNECT, "500::Internal error", None, "retry")], 1.0)

    assert isinstance(reply.failure, StreamRefused)
    assert reply.failure.reaction is Reaction.RETRY
    assert session.state is SessionState.SUBSCRIBED


@pytest.mark.parametrize("reconnect", ["none", "handshake"])
def test_advice_not_to_reconnect_ends_even_a_session_that_could_be_retried(reconnect: str) -> None:
    session = subscribed()
    session.connect(0.0)

    session.receive([refused(CONNECT, "500::Internal error", None, reconnect)], 1.0)

    assert session.state is SessionState.LOST


def test_advice_is_kept_until_it_changes() -> None:
    session = subscribed(interval=2000, timeout=60000)
    session.connect(0.0)

    session.receive([accepted(CONNECT)], 60.0)

    assert session.hold == 60.0
    assert session.connect_delay(60.5) == 1.5
    assert session.connect_delay(70.0) == 0.0


@pytest.mark.parametrize("nonsense", [True, "1", None, -1, float("nan"), float("inf"), [], 0])
def test_advice_that_is_no_time_is_ignored(nonsense: Any) -> None:
    session = subscribed(interval=nonsense, timeout=nonsense)

    assert session.hold == 110.0
    assert session.connect_delay(0.0) == 0.0


def test_advice_can_stop_the_stream_for_no_longer_than_a_session_lives() -> None:
    session = subscribed(interval=10**9, timeout=10**9)

    assert session.connect_delay(0.0) == 30.0
    assert session.hold == 600.0


def test_empty_answers_that_were_not_held_are_asked_for_more_and_more_slowly() -> None:
    session = subscribed()
    delays = []

    for _ in range(7):
        session.connect(0.0)
        session.receive([accepted(CONNECT)], 0.0)
        delays.append(session.connect_delay(0.0))

    assert delays == [0.0625, 0.125, 0.25, 0.5, 1.0, 1.0, 1.0]


def test_a_held_or_a_full_answer_is_followed_at_once() -> None:
    session = subscribed()
    session.connect(0.0)
    session.receive([accepted(CONNECT)], 0.0)

    session.connect(1.0)
    session.receive([change(1), accepted(CONNECT)], 1.0)
    after_full = session.connect_delay(1.0)
    session.connect(1.0)
    session.receive([accepted(CONNECT)], 111.0)

    assert (after_full, session.connect_delay(111.0)) == (0.0, 0.0)


def test_a_lost_answer_ends_the_session() -> None:
    session = subscribed("37904280")

    session.end()

    assert session.state is SessionState.LOST


def test_a_server_that_disconnects_ends_the_session() -> None:
    session = subscribed()
    session.connect(0.0)

    reply = session.receive([accepted(CONNECT), accepted("/meta/disconnect")], 1.0)

    assert isinstance(reply.failure, StreamRefused)
    assert reply.failure.error == "the server closed the session"
    assert reply.failure.reaction is Reaction.REHANDSHAKE
    assert reply.is_accepted
    assert session.state is SessionState.LOST


def test_an_answer_to_something_else_is_unclear() -> None:
    session = subscribed()
    session.connect(0.0)

    reply = session.receive([accepted(SUBSCRIBE)], 1.0, lambda: "the text")

    assert isinstance(reply.failure, MalformedAnswer)
    assert reply.failure.why == "the answer has no /meta/connect message"
    assert reply.failure.raw == "the text"


@pytest.mark.parametrize("broken", [{"ext": []}, {"ext": {"sfdc": 1}}, {"error": 7}, {}])
def test_a_refusal_of_a_strange_shape_is_still_a_refusal(broken: dict[str, Any]) -> None:
    session = subscribed()
    session.connect(0.0)

    reply = session.receive([{"channel": CONNECT, "advice": 3, **broken}], 1.0)

    assert isinstance(reply.failure, StreamRefused)
    assert reply.failure.failure_reason == ""


def test_a_lost_session_needs_no_goodbye() -> None:
    session = subscribed()
    said = [message["channel"] for message in session.goodbye()]

    session.end()

    assert said == ["/meta/unsubscribe", "/meta/disconnect"]
    assert session.goodbye() == []
    assert BayeuxSession(CHANNEL, "-1").goodbye() == []
