"""Parses HTTP answers to Bayeux messages, or to errors."""

from __future__ import annotations

from typing import Any

from listeners.salesforce.cometd.protocol import CONNECT
from listeners.salesforce.errors import (
    CometdRefused,
    MalformedAnswer,
    Reaction,
    SalesforceError,
    TransportFailed,
)
from listeners.salesforce.http.addresses import host_of
from listeners.salesforce.http.request import Answer


def bayeux_messages(answer: Answer, channel: str) -> list[dict[str, Any]]:
    """Return the messages of the answer to a request on the meta ``channel``.

    Raises ``MalformedAnswer``, ``TransportFailed`` (5xx, 429, 408) or ``CometdRefused`` (other
    statuses without a Bayeux refusal in the body).
    """
    if 200 <= answer.status < 300:
        return _parsed(answer)
    if answer.status >= 500 or answer.status in {408, 429}:
        raise TransportFailed(
            f"HTTP {answer.status}", status=answer.status, retry_after=answer.retry_after()
        )
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
        if (
            isinstance(parsed, dict) and "channel" in parsed
        ):  # older servers send a single message without the array
            parsed = [parsed]
        if not isinstance(parsed, list):
            why = "not a JSON array"
        elif all(isinstance(element, dict) for element in parsed):
            return parsed
        else:
            why = "an array whose elements are not all objects"
    raise MalformedAnswer(why, answer.text())


def _refused(answer: Answer, errors: list[dict[str, Any]], channel: str) -> SalesforceError:
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
    return CometdRefused(error, None, reaction, channel)


def status_reaction(status: int, codes: list[str]) -> Reaction:
    """Return the reaction to an HTTP status and the ``errorCode``s in the body."""
    if "REQUEST_LIMIT_EXCEEDED" in codes:
        return Reaction.QUOTA
    if status == 401 or 300 <= status < 400:  # redirect of a moved org: log in for its new URL
        return Reaction.NEW_TOKEN
    if status == 402:
        return Reaction.REHANDSHAKE
    if status == 403:
        return Reaction.BACK_OFF_LONG
    return Reaction.CONFIGURATION
