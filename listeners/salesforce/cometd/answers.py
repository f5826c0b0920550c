"""Parses the answers of the Streaming API: Bayeux messages, refusals too, and HTTP errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listeners.salesforce.errors import (
    MalformedAnswer,
    Reaction,
    StreamRefused,
    status_reaction,
)
from listeners.salesforce.http.addresses import host_of
from listeners.salesforce.http.request import Answer

CONNECT = "/meta/connect"


def bayeux_messages(answer: Answer, channel: str) -> list[dict[str, Any]]:
    """Return the messages of the answer to a request on the meta ``channel``.

    Raises ``MalformedAnswer``, ``TransportFailed`` (5xx, 429, 420 and other passing statuses) or
    ``StreamRefused`` (other statuses without a Bayeux refusal in the body).
    """
    if 200 <= answer.status < 300:
        return _parsed(answer)
    if answer.is_unavailable:
        raise answer.unavailable()
    try:
        messages = _parsed(answer)
    except MalformedAnswer:
        messages = []
    # Without an error text in the body, the HTTP status is more informative.
    if any(
        message.get("successful") is False and (message.get("error") or message.get("ext"))
        for message in messages
    ):
        return messages
    raise _refused(answer, messages, channel)


def _parsed(answer: Answer) -> list[dict[str, Any]]:
    try:
        parsed = answer.json(deepest=None)  # decoding checks the depth of each message
    except ValueError as flaw:  # not JSON, or not UTF-8
        why = f"not JSON ({flaw})"
    else:
        if isinstance(parsed, dict) and "channel" in parsed:
            parsed = [parsed]  # older servers send a single message without the array
        if not isinstance(parsed, list):
            why = "not a JSON array"
        elif all(isinstance(element, dict) for element in parsed):
            return parsed
        else:
            why = "an array whose elements are not all objects"
    raise MalformedAnswer(why, answer.text())


def _refused(answer: Answer, errors: list[dict[str, Any]], channel: str) -> StreamRefused:
    codes = [str(error["errorCode"]) for error in errors if "errorCode" in error]
    error = " ".join([f"HTTP {answer.status}", *codes])
    if answer.status == 407:
        error = "HTTP 407 from the proxy: check its user name and password."
    if 300 <= answer.status < 400:
        error = f"{error} redirect to {host_of(answer.headers.get('Location', ''))}"
    reaction = status_reaction(answer.status, codes)
    if channel == CONNECT and reaction is Reaction.CONFIGURATION:
        # The session has worked until now. If the configuration is wrong, a handshake will fail.
        reaction = Reaction.REHANDSHAKE
    return StreamRefused(channel, error, reaction)


# Phrases of Salesforce's errors, the more specific ones first: the first match wins.
_BY_WORDS: tuple[tuple[str, Reaction], ...] = (
    ("server is too busy", Reaction.BACK_OFF_LONG),
    ("to protect all customers", Reaction.BACK_OFF_LONG),
    ("concurrent user limit exceeded", Reaction.BACK_OFF_LONG),
    ("daily limit exceeded", Reaction.QUOTA),
    ("unknown client", Reaction.REHANDSHAKE),
    ("has not completed handshake", Reaction.REHANDSHAKE),
    ("no bayeux_browser cookie", Reaction.REHANDSHAKE),
    ("does not match the session's user id", Reaction.REHANDSHAKE),
    ("wasn't found using the provided replay id map", Reaction.CONFIGURATION),
    ("without view all data", Reaction.CONFIGURATION),
    ("restricted channel", Reaction.CONFIGURATION),
    ("cannot create channel", Reaction.CONFIGURATION),
    ("you requested to subscribe to doesn't exist", Reaction.CONFIGURATION),
    ("subscription limit exceeded", Reaction.CONFIGURATION),
    ("channel name not specified", Reaction.CONFIGURATION),
    ("must start with a leading", Reaction.CONFIGURATION),
    ("api version in the uri is mandatory", Reaction.CONFIGURATION),
    ("invalid connection type", Reaction.CONFIGURATION),
    ("unknown channel", Reaction.CONFIGURATION),
    ("maximum request size exceeded", Reaction.CONFIGURATION),
)


def classify(
    failure_reason: str | None, error: str | None, advice: Mapping[str, Any] | None
) -> Reaction:
    """Return the reaction to a refused Bayeux message, by its reason, else error, else advice."""
    for text in (failure_reason, error):
        if text and (known := _by_text(text)):
            return known
    match (advice or {}).get("reconnect"):
        case "handshake":
            return Reaction.REHANDSHAKE
        case "none":
            return Reaction.BACK_OFF_LONG
        case "retry":
            return Reaction.RETRY
        case _:
            return Reaction.BACK_OFF_LONG if error or failure_reason else Reaction.RETRY


def _by_text(text: str) -> Reaction | None:
    words = text.casefold()
    if "replayid {" in words and "was invalid" in words:
        return Reaction.REPLAY_LOST
    for phrase, reaction in _BY_WORDS:
        if phrase in words:
            return reaction
    match words.lstrip()[:3]:
        case "401":
            return Reaction.NEW_TOKEN
        case "402":
            return Reaction.REHANDSHAKE
        case code if code.isdecimal() and code.startswith("5"):
            return Reaction.RETRY
        case _:
            return None
