"""Whether a listener may hear its channel: subscribe once, from the tip."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from consumer.diagnostics.findings import Finding, Step
from listeners.connections import listener_warnings
from listeners.connections.open_stream import stream_for
from listeners.models import Listener
from listeners.salesforce.errors import (
    LoginRefused,
    LoginUnavailable,
    PubSubRefused,
    Reaction,
    SalesforceError,
    StreamRefused,
)
from listeners.salesforce.protocol import EventStream
from listeners.salesforce.tokens.tokens import Tokens

TIP = "-1"
REFUSAL_SECONDS = 2.0

#: Of a managed subscription, which one client at a time may hear.
_IN_USE = "managed.subscription.already.active"
#: What asks for a channel: of the Streaming API, and of the Pub/Sub API.
_SUBSCRIBING = ("/meta/subscribe", "GetTopic", "Subscribe", "ManagedSubscribe")


def check_channel(tokens: Tokens, served: Sequence[str], listener: Listener) -> Iterator[Finding]:
    """`served`: the org's API versions, empty where they are not known."""
    prefix = f"listener {listener.name}" + ("" if listener.enabled else " (disabled)")
    for _, warning in listener_warnings.warnings(listener):
        yield Finding(f"note: {prefix}: {warning}")
    if served and listener.api_version not in served:
        text = (
            f"{prefix}: API version {listener.api_version} is not served; set api_version to one "
            f"from {served[0]} to {served[-1]}"
        )
        yield Finding(text, is_failure=True, step=Step.CHANNEL)
        return
    try:
        _subscribe(tokens, listener)
    except (LoginRefused, LoginUnavailable):
        raise
    except SalesforceError as error:
        if isinstance(error, PubSubRefused) and error.code.endswith(_IN_USE):
            text = f"{prefix}: {_heard(listener)}: in use, by its process or another client"
            yield Finding(text, step=Step.CHANNEL)
            return
        text = f"{prefix}: {_heard(listener)}: {error}{_advice(error, listener)}"
        yield Finding(text, is_failure=True, step=Step.CHANNEL)
        return
    yield Finding(f"{prefix}: {_heard(listener)}: permitted", step=Step.CHANNEL)


def _heard(listener: Listener) -> str:
    if listener.transport == Listener.Transport.COMETD:
        return f"channel {listener.channel}"
    managed = f", managed subscription {listener.subscription}" if listener.subscription else ""
    return f"topic {listener.channel} at {listener.pubsub_endpoint}{managed}"


def _subscribe(tokens: Tokens, listener: Listener) -> None:
    """From the tip, so that nothing is delivered; no position moves. (What waits for a managed
    subscription is delivered, and comes again.)"""
    stream = stream_for(listener, tokens)
    try:
        stream.open(TIP)
        if listener.transport == Listener.Transport.PUBSUB:
            _await_refusal(stream)
    finally:
        stream.close()


def _await_refusal(stream: EventStream) -> None:
    """One over gRPC may come a moment after the stream began."""
    deadline = time.monotonic() + REFUSAL_SECONDS
    while not stream.has_news and time.monotonic() < deadline:
        time.sleep(0.05)
    if stream.has_news:
        stream.poll()


def _advice(error: SalesforceError, listener: Listener) -> str:
    refused = isinstance(error, StreamRefused) and error.what in _SUBSCRIBING
    if not refused or error.reaction is not Reaction.CONFIGURATION:
        return ""
    managed = (
        " And that the managed event subscription has that developer name, this channel as its "
        "topic, and runs."
    )
    return (
        " Check the channel's name, that its entities are selected in Setup under Change Data "
        "Capture, and that the login's user may view all of their records."
        + (managed if listener.subscription else "")
    )
